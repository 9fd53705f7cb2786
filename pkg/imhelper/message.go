package imhelper

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// Message is a message to clients. Every device of each receiver gets it.
type Message struct {
	To   []string // 1–1000 clientIds; repeated ones count once. Required
	From string   // clientId of the sender; empty means the system

	// Exactly one of Data and Binary is required.
	Data   json.RawMessage // any JSON; a text frame on the wire
	Binary []byte          // a binary frame; may be empty, not nil

	// ID of 1–64 bytes makes the send idempotent for 5 minutes: repeated with the same ID, sender and receiver it
	// changes nothing and returns the first position with Duplicate set. Empty: a new UUIDv7, not idempotent. It
	// identifies ephemeral messages but does not make them idempotent.
	ID string

	TTL time.Duration // how long it is worth delivering; whole seconds, at most 30 days, 0 = as long as it is kept

	// Receipt asks to be told what becomes of the message, for each receiver, by an event (see Events) and in From's
	// inbox: when one of the receiver's devices has acknowledged it, with ReceiptRead also when it was read, and when
	// TTL has passed before either. Not with Ephemeral.
	Receipt Receipt
	// Wait makes Send return only when every receiver has acknowledged the message (or has read it, with ReceiptRead),
	// or when so much time has passed; at most MaxWait. Not with Ephemeral, nor in a Batch.
	Wait time.Duration

	Ephemeral  bool   // stored nowhere: only devices connected at this moment may get it, without a position
	Echo       bool   // the sender's devices get it too (in From's inbox); give ExceptConn to leave out the sending one
	ExceptConn string // connId of a connection that does not get it
}

// Receipt is what a sender wants to be told about a message.
type Receipt string

const (
	ReceiptNone      Receipt = "" // or "none"
	ReceiptDelivered Receipt = "delivered"
	ReceiptRead      Receipt = "read"
)

// MaxWait bounds Message.Wait: who waits longer reads events.
const MaxWait = 30 * time.Second

// GroupMessage is a message to everyone who is a member of a group at this moment.
type GroupMessage struct {
	Group string // required
	From  string // clientId of the sender; empty means the system

	// Exactly one of Data and Binary is required.
	Data   json.RawMessage
	Binary []byte

	ID           string // as in Message
	Ephemeral    bool   // as in Message
	ExceptSender bool   // From's own devices do not get it
	ExceptConn   string // connId of a connection that does not get it
}

// BroadcastMessage is a message to every client.
type BroadcastMessage struct {
	From string // clientId of the sender; empty means the system

	// Exactly one of Data and Binary is required.
	Data   json.RawMessage
	Binary []byte

	ID        string   // as in Message
	Ephemeral bool     // as in Message
	Devices   []string // when given, only connections of these devices get it; at most 1000
}

// Kind says what a message is addressed to.
type Kind string

const (
	Direct    Kind = "direct"
	Group     Kind = "group"
	Broadcast Kind = "broadcast"
)

// Sending is what OnSend is shown. Its slices belong to the send: they are for reading only.
type Sending struct {
	Kind      Kind
	To        []string // Direct
	Group     string   // Group
	From      string
	ID        string
	Time      time.Time
	Data      json.RawMessage // nil when the message is binary
	Binary    []byte
	Ephemeral bool
}

// maxTTL bounds Message.TTL: nothing is kept longer than cursors are.
const maxTTL = 30 * 24 * time.Hour

// post is a checked message on its way to the store.
type post struct {
	kind       Kind
	to         []string // Direct: without repetitions
	group      string
	env        protocol.Envelope
	idempotent bool
	ephemeral  bool
	echo       bool
	await      *store.Await  // nil: nobody wants to know what becomes of it
	wait       time.Duration // for receivers to acknowledge it
}

// content holds what the three kinds of message have in common.
type content struct {
	from, id, exceptConn string
	data                 json.RawMessage
	binary               []byte
	ephemeral            bool
}

func (h *Helper) newPost(kind Kind, c content) (*post, error) {
	if err := checkAll(
		checkOptional("from", c.from, protocol.CheckClientID),
		checkOptional("id", c.id, protocol.CheckID),
		checkOptional("exceptConn", c.exceptConn, protocol.CheckID),
		h.checkBody(c.data, c.binary),
	); err != nil {
		return nil, err
	}
	p := &post{kind: kind, ephemeral: c.ephemeral, idempotent: c.id != "" && !c.ephemeral}
	p.env = protocol.Envelope{
		ID:         c.id,
		From:       c.from,
		Time:       time.Now().UnixMilli(),
		Data:       c.data,
		ExceptConn: c.exceptConn,
	}
	if c.binary != nil {
		p.env.Data, p.env.Binary = c.binary, true
	}
	if c.id == "" {
		p.env.ID = protocol.NewID()
	}
	return p, nil
}

func (h *Helper) direct(m Message) (*post, error) {
	if err := checkList("to", m.To, protocol.MaxReceivers, protocol.CheckClientID); err != nil {
		return nil, err
	}
	if m.TTL < 0 || m.TTL > maxTTL || m.TTL%time.Second != 0 {
		return nil, &FieldError{Field: "ttl", Problem: fmt.Sprintf("is %v, want whole seconds, 0 to %v", m.TTL, maxTTL)}
	}
	if m.Echo && m.From == "" {
		return nil, &FieldError{Field: "from", Problem: "is missing: echo needs to know whose devices get a copy"}
	}
	p, err := h.newPost(Direct, content{m.From, m.ID, m.ExceptConn, m.Data, m.Binary, m.Ephemeral})
	if err != nil {
		return nil, err
	}
	if err := p.askReceipts(m); err != nil {
		return nil, err
	}
	p.to = unique(m.To)
	p.env.TTL = int64(m.TTL / time.Second)
	p.echo = m.Echo
	for _, id := range p.to {
		if id == m.From {
			p.echo = false // is a receiver anyway
		}
	}
	return p, nil
}

// askReceipts notes what the sender wants to know. Who only waits is told without anybody else hearing of it.
func (p *post) askReceipts(m Message) error {
	switch m.Receipt {
	case ReceiptNone, "none":
		p.env.Receipt = protocol.ReceiptNone
	case ReceiptDelivered:
		p.env.Receipt = protocol.ReceiptDelivered
	case ReceiptRead:
		p.env.Receipt = protocol.ReceiptRead
	default:
		return &FieldError{Field: "receipt", Problem: "is not one of none, delivered and read"}
	}
	if m.Wait < 0 || m.Wait > MaxWait {
		return &FieldError{Field: "waitMs", Problem: fmt.Sprintf("is %d, want 0 to %d", m.Wait.Milliseconds(), MaxWait.Milliseconds())}
	}
	if p.env.Receipt == protocol.ReceiptNone && m.Wait == 0 {
		return nil
	}
	if m.Ephemeral {
		field := "receipt"
		if p.env.Receipt == protocol.ReceiptNone {
			field = "waitMs"
		}
		return &FieldError{Field: field, Problem: "cannot be used with ephemeral: what is not kept is not acknowledged"}
	}
	p.await = &store.Await{Quiet: p.env.Receipt == protocol.ReceiptNone}
	p.wait = m.Wait
	if p.await.Quiet {
		p.env.Receipt = protocol.ReceiptDelivered
	}
	return nil
}

func (h *Helper) toGroup(m GroupMessage) (*post, error) {
	if err := checkGroup("group", m.Group); err != nil {
		return nil, err
	}
	if m.ExceptSender && m.From == "" {
		return nil, &FieldError{Field: "from", Problem: "is missing: exceptSender needs to know whom to leave out"}
	}
	p, err := h.newPost(Group, content{m.From, m.ID, m.ExceptConn, m.Data, m.Binary, m.Ephemeral})
	if err != nil {
		return nil, err
	}
	p.group = m.Group
	p.env.ExceptSender = m.ExceptSender
	return p, nil
}

func (h *Helper) toAll(m BroadcastMessage) (*post, error) {
	if err := checkEach("devices", m.Devices, protocol.MaxReceivers, protocol.CheckDevice); err != nil {
		return nil, err
	}
	p, err := h.newPost(Broadcast, content{m.From, m.ID, "", m.Data, m.Binary, m.Ephemeral})
	if err != nil {
		return nil, err
	}
	p.env.Devices = m.Devices
	return p, nil
}

// sending is the post as OnSend sees it.
func (p *post) sending() Sending {
	s := Sending{
		Kind: p.kind, To: p.to, Group: p.group,
		From: p.env.From, ID: p.env.ID, Time: time.UnixMilli(p.env.Time), Ephemeral: p.ephemeral,
	}
	if p.env.Binary {
		s.Binary = p.env.Data
	} else {
		s.Data = p.env.Data
	}
	return s
}

// publications is the post as the store takes it: one, and another one for the echo.
func (p *post) publications(to []store.Publication) []store.Publication {
	pub := store.Publication{Envelope: &p.env, Idempotent: p.idempotent, Ephemeral: p.ephemeral}
	switch p.kind {
	case Direct:
		pub.Kind, pub.To, pub.Await = protocol.Inbox, p.to, p.await
	case Group:
		pub.Kind, pub.To = protocol.Group, []string{p.group}
	case Broadcast:
		pub.Kind = protocol.All
	}
	to = append(to, pub)
	if p.echo {
		pub.To, pub.Await = []string{p.env.From}, nil
		to = append(to, pub)
	}
	return to
}
