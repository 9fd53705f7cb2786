package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// preludeLua is put in front of the scripts that need a clock or report events.
//
//go:embed lua/prelude_events.lua
var preludeLua string

//go:embed lua/connect.lua
var connectLua string

var connectScript = newRoamingScript("connect", preludeLua+reapedLua+fmt.Sprintf("local REPLACED, HANDED_OVER, ENDED_FOR = '%d', '%d', '%s'\n",
	protocol.ReasonReplaced.Code(), protocol.ReasonHandedOver.Code(), seconds(endedFor))+connectLua)

// Session is one connection as the URL and the node describe it.
type Session struct {
	JTI    string        // of the URL; with Resume, of the one that the first connection was opened by, if that is known
	JTITTL time.Duration // how long the URL must be remembered as used: at least until it expires; Connect without Resume only

	Resume string // the connection that this one continues, instead of a URL

	ClientID string
	ConnID   string // from protocol.NewConnID with the client's partition
	Node     string
	Device   string
	IP       string
	Since    time.Time       // when it was opened; zero means now
	Meta     json.RawMessage // JSON, travels unchanged but for white space; empty means none

	Groups       []string // joined with the connection
	UntilOffline bool     // those memberships end when the client goes offline

	MayRequest bool   // not stored: for the node
	Origin     string // not stored: the first connection of the session, ConnID if it is not resumed
	Positions  bool   // not stored: the client knows positions, so that it may be given again what it has had; see All

	Rate   int          // connects per second that the client may make; 0 does not limit. Connect only
	Policy DevicePolicy // what the client's connections are measured by when this one comes; empty means any
}

// Connected is what a new connection starts from.
type Connected struct {
	Online  bool                         // the client was offline before
	Inbox   Tail                         // where the inbox ends now, and the partition's fence
	Groups  []Membership                 // everything the client is a member of
	Cursors map[string]protocol.Position // what this device acknowledged, by the stream's wire name
	Acked   protocol.Position            // how far any of the client's devices acknowledged the inbox

	// Tails are where the streams of groups end, of those that the session joined and for which nothing is left to do.
	// SyncGroups tells of others.
	Tails map[string]protocol.Position

	// All is where the broadcasts end, for a session without Positions: what was sent before is not for it. Nil for others,
	// and in a Cluster.
	All *protocol.Position
}

// record is a connection as it is stored. Scripts rely on meta being the last field.
type record struct {
	Device string          `json:"device"`
	Node   string          `json:"node"`
	Since  int64           `json:"since"` // Unix ms
	IP     string          `json:"ip"`
	JTI    string          `json:"jti,omitempty"`
	Policy DevicePolicy    `json:"policy,omitempty"` // none: any
	Over   int             `json:"over,omitempty"`   // close code: its node was told to close it, see kick.lua
	Grace  int64           `json:"grace,omitempty"`  // ms that are left of the client's grace when its node's lease is over
	Meta   json.RawMessage `json:"meta,omitempty"`
}

// Connect uses up the URL, or the session that Resume names, and registers the connection, in one step: when it returns
// nil, the client is online and nobody else can use the URL. ErrURLUsed when somebody did, or when the session is over;
// ErrRevoked when the client or the URL is revoked; ErrTooOften when the client connects more often than Rate allows, and
// then nothing is used up. When it fails with ErrUnavailable the URL may be used up all the same.
//
// Memberships that come with the session begin in the same step, unless Redis is a Cluster: there SyncGroups completes
// them. To follow the groups of Tails from there on, subscribe to their channels before.
func (s *Store) Connect(ctx context.Context, se Session) (*Connected, error) {
	if se.Resume == "" && (se.JTI == "" || se.JTITTL <= 0) {
		return nil, errors.New("connect: the session has no jti or no time to remember it")
	}
	c, err := s.connectCall(se, max(se.JTITTL, time.Millisecond))
	if err != nil {
		return nil, err
	}
	reply, err := s.run(ctx, connectScript, c.keys, c.args).ToArray()
	if err != nil {
		return nil, wrap("connect "+se.ClientID, err)
	}
	switch state, err := reply[0].AsInt64(); {
	case err != nil:
		return nil, wrap("connect "+se.ClientID, err)
	case state == connectUsed:
		return nil, wrap("connect "+se.ClientID, ErrURLUsed)
	case state == connectRevoked:
		return nil, wrap("connect "+se.ClientID, ErrRevoked)
	case state == connectTooMany:
		return nil, wrap("connect "+se.ClientID, ErrTooOften)
	case state == connectLate:
		return nil, wrap("connect "+se.ClientID, errLate)
	case state == connectStruck:
		return nil, wrap("connect "+se.ClientID, ErrStruckOff)
	}
	out, err := parseConnected(reply[1:])
	return out, wrap("connect "+se.ClientID, err)
}

// What connect.lua returns first, beside 1.
const (
	connectUsed    = 0
	connectRevoked = 2
	connectEnded   = 3
	connectTooMany = 4
	connectLate    = 5
	connectStruck  = 6
)

// errLate is what a registration gets that comes too late: its connection has been signed off.
var errLate = fmt.Errorf("%w: too late to register", ErrUnavailable)

// ErrStruckOff means that the node was given up, and its connections signed off. Nothing can be registered under its ID any
// more: it needs a new one.
var ErrStruckOff = fmt.Errorf("%w: the node was struck off", ErrUnavailable)

// connectCall prepares connect.lua; jtiTTL 0 means that the connection is restored.
func (s *Store) connectCall(se Session, jtiTTL time.Duration) (call, error) {
	policy, err := ParseDevicePolicy(string(se.Policy))
	if err != nil {
		return call{}, err
	}
	if policy == AnyDevice {
		policy = ""
	}
	since := se.Since
	if since.IsZero() {
		since = time.Now()
	}
	rec, err := json.Marshal(record{
		Device: se.Device, Node: se.Node, Since: since.UnixMilli(), IP: se.IP, JTI: se.JTI, Policy: policy,
		Grace: max(0, s.opts.OfflineGrace-leaseTTL).Milliseconds(), Meta: se.Meta,
	})
	if err != nil {
		return call{}, fmt.Errorf("connect %s: meta: %w", se.ClientID, err)
	}
	event, err := json.Marshal(Event{Type: EventOnline, ClientID: se.ClientID, Device: se.Device, Node: se.Node, Meta: se.Meta})
	if err != nil {
		return call{}, fmt.Errorf("connect %s: event: %w", se.ClientID, err)
	}
	// The script knows the time. In a name quotation marks are escaped, so what is found is the field.
	before, after, _ := strings.Cut(string(event), `"time":0`)
	p, k := s.keys.partition(se.ClientID), s.keys
	used, revoked := k.jti(se.ClientID, se.JTI), k.revokedClient(se.ClientID)
	switch {
	case se.Resume != "":
		used = k.resume(p, se.Resume)
	case jtiTTL == 0:
		used = k.resume(p, se.ConnID)
	}
	revokedURL := revoked
	if se.JTI != "" {
		revokedURL = k.revokedURL(p, se.JTI)
	}
	tellAll := jtiTTL > 0 && !se.Positions && !s.cluster
	args := []string{
		strconv.FormatInt(jtiTTL.Milliseconds(), 10),
		se.ClientID, se.ConnID, string(rec), se.Device, string(policy), before + `"time":`, after,
		k.endedPrefix(p), k.nodeConnsPrefix(p), k.clientChannel(p), k.eventChannel(), strconv.Itoa(p), s.eventsSize,
		mode(se.UntilOffline), se.Resume, strconv.Itoa(se.Rate), k.struck(p, se.Node),
		bit(tellAll),
	}
	keys := []string{
		used, k.conns(se.ClientID), k.nodeConns(p, se.Node), k.leaving(p), k.online(p),
		k.events(p), k.groups(se.ClientID), k.unsynced(p), k.cursor(se.ClientID),
		k.stream(protocol.InboxOf(se.ClientID)), k.epoch(p), k.last(p), revoked, revokedURL,
		k.connects(se.ClientID), k.left(p),
	}
	if !s.cluster { // there a script touches one partition
		for _, group := range se.Groups {
			p := k.partition(group)
			keys = append(keys, k.members(group), k.grouplist(p), k.stream(protocol.GroupOf(group)), k.epoch(p))
		}
	}
	if tellAll {
		keys = append(keys, k.stream(protocol.AllStream()), k.epoch(allPartition))
	}
	return call{keys: keys, args: append(args, se.Groups...)}, nil
}

// parseConnected reads what connect.lua returns after its first value.
func parseConnected(reply []rueidis.RedisMessage) (*Connected, error) {
	if len(reply) != 8 {
		return nil, fmt.Errorf("connect.lua returned %d values", len(reply))
	}
	online, err := reply[0].AsInt64()
	tail, err1 := position(&reply[1])
	fence, err2 := reply[2].AsUint64()
	truth, err3 := reply[3].AsStrMap()
	cursors, err4 := reply[4].AsStrMap()
	inboxes, err5 := reply[5].AsStrSlice()
	tails, err6 := reply[6].AsStrMap()
	all, err7 := reply[7].ToString()
	if err := errors.Join(err, err1, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, err
	}
	c := &Connected{
		Online: online == 1,
		Inbox:  Tail{Pos: tail, Fence: fence},
		Groups: memberships(truth),
	}
	c.Cursors, err = positionsOf(cursors)
	c.Tails, err1 = positionsOf(tails)
	if err := errors.Join(err, err1); err != nil {
		return nil, err
	}
	if all != "" {
		pos, err := protocol.ParsePosition(all)
		if err != nil {
			return nil, err
		}
		c.All = &pos
	}
	for _, text := range inboxes {
		pos, err := protocol.ParsePosition(text)
		if err != nil {
			return nil, err
		}
		if c.Acked.Less(pos) {
			c.Acked = pos
		}
	}
	return c, nil
}

// positionsOf reads what a script returned about several streams or groups; nil when that is nothing.
func positionsOf(texts map[string]string) (map[string]protocol.Position, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	out := make(map[string]protocol.Position, len(texts))
	for name, text := range texts {
		pos, err := protocol.ParsePosition(text)
		if err != nil {
			return nil, err
		}
		out[name] = pos
	}
	return out, nil
}

// position reads a position that a script returned.
func position(m *rueidis.RedisMessage) (protocol.Position, error) {
	text, err := m.ToString()
	if err != nil {
		return protocol.Position{}, err
	}
	return protocol.ParsePosition(text)
}
