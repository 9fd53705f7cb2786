package hub

import (
	"slices"
	"sync"

	"github.com/imtier/imtier/imserver/internal/socket"
	"github.com/imtier/imtier/pkg/protocol"
)

// Message is one message on its way to sockets. It is decoded once, and encoded once per format.
type Message struct {
	protocol.Envelope

	once sync.Once
	raw  []byte // the frame for raw connections
}

// NewMessage decodes an envelope.
func NewMessage(envelope []byte) (*Message, error) {
	m := new(Message)
	if err := m.Decode(envelope); err != nil {
		return nil, err
	}
	return m, nil
}

// rawFrame is the message as a raw connection gets it: the data and nothing else.
func (m *Message) rawFrame() []byte {
	m.once.Do(func() {
		op := socket.OpText
		if m.Binary {
			op = socket.OpBinary
		}
		m.raw = socket.Frame(op, m.Data)
	})
	return m.raw
}

// excludes reports whether the sender left this connection out, or it has no form for it.
func (m *Message) excludes(c *Conn) bool {
	return m.IsReceipt && !c.V1 ||
		m.ExceptConn != "" && m.ExceptConn == c.ID ||
		m.ExceptSender && m.From == c.ClientID ||
		len(m.Devices) > 0 && !slices.Contains(m.Devices, c.Device)
}

// item is a message in the queue of one topic.
type item struct {
	pos protocol.Position // zero: ephemeral
	msg *Message
	gap *protocol.Position // what comes before this item is not known from here on
	cut bool               // no message: the log ends at pos, see shard.cut
	v1  []byte             // the frame for imtier.v1 connections, made when the first one needs it
}

func (it *item) frame(c *Conn, stream string) []byte {
	if !c.V1 {
		return it.msg.rawFrame()
	}
	if it.v1 == nil {
		it.v1 = v1Frame(stream, it.pos, it.msg)
	}
	return it.v1
}

func v1Frame(stream string, pos protocol.Position, m *Message) []byte {
	if m.IsReceipt {
		return socket.Frame(socket.OpText, protocol.ReceiptFrame(stream, pos, &m.Envelope))
	}
	return socket.Build(socket.OpText, protocol.MessageFrameSize(stream, &m.Envelope), func(b []byte) []byte {
		return protocol.AppendMessageFrame(b, stream, pos, &m.Envelope)
	})
}
