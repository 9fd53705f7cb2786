package hub

import (
	"sync"

	"github.com/imtier/imtier/pkg/protocol"
)

// maxQueued is how many messages of one topic may wait for fan-out. Beyond it the topic is repaired from the log
// when there is room, so that a flood costs bounded memory.
const maxQueued = 1024

// topic is one stream as this node sees it. Everything is guarded by its shard's mu.
type topic struct {
	stream protocol.Stream
	wire   string // the stream's name in frames

	members []*follow
	holds   int // connections that are being set up and will follow; keeps the topic alive

	settled bool              // tail is known and nothing is missing behind it
	known   bool              // tail has been known before
	doubted bool              // tail was read by a comparison, perhaps before the channel was subscribed to: Settle compares
	tail    protocol.Position // the last message queued or fanned out
	seen    protocol.Position // the last one that arrived while not settled
	head    protocol.Position // the last message whose fan-out has begun
	floor   protocol.Position // where the log was cut last
	heard   protocol.Position // of a group: all leaves before that message have been announced, see Hub.heardOf

	queue     []*item
	next      int  // members[0..next] are still to be given queue[0]
	scheduled bool // in the shard's run list
	repairing bool // the catch-up has it
}

// follow is one connection in one topic, guarded by the topic's shard's mu.
type follow struct {
	conn *Conn
	t    *topic
	pos  protocol.Position // the last message given, or passed over
	slot int32             // index in t.members; -1 after detach
	mode followMode

	// A zero pos means the oldest message there is: what came before it was never this follow's. Before its start: it is
	// to begin there unless the client says otherwise.
	oldest bool
	missed bool // something, perhaps, between pos and what comes after the topic's floor: then it is told
	joined bool // after its connection was registered: what was said before pos is not for it

	giving sync.Mutex // held while messages from the log are given, taken before the shard's mu; whoever ends the follow waits
}

type followMode uint8

const (
	held   followMode = iota // the connection does not take messages yet
	live                     // gets each message as it is fanned out
	behind                   // is read from the log after pos
)

// add appends a member. It is not given what is being fanned out now.
func (t *topic) add(f *follow) {
	f.slot = int32(len(t.members))
	t.members = append(t.members, f)
}

// remove takes a member out in constant time. While a fan-out is under way members[0..next] are waiting and the
// others have been given the message; the hole is filled so that this stays true.
func (t *topic) remove(f *follow) {
	i, last := int(f.slot), len(t.members)-1
	if len(t.queue) > 0 && i <= t.next {
		t.move(t.next, i)
		i = t.next
		t.next--
	}
	if i != last { // else what is there has been moved already
		t.move(last, i)
	}
	t.members[last] = nil
	t.members = t.members[:last]
	f.slot = -1
}

func (t *topic) move(from, to int) {
	t.members[to] = t.members[from]
	t.members[to].slot = int32(to)
}

// unused reports whether nobody needs the topic.
func (t *topic) unused() bool { return len(t.members) == 0 && t.holds == 0 }

// settle makes tail the point from which live messages continue.
func (t *topic) settle(tail protocol.Position) {
	t.tail = tail
	if len(t.queue) == 0 {
		t.head = tail
	}
	t.settled, t.known = true, true
	t.seen = protocol.Position{}
}

// renew moves the tail of an empty stream to where it ends, still empty, in a later life of Redis. The caller holds mu.
func (s *shard) renew(t *topic, tail protocol.Position) {
	if t.settled && t.tail.Seq == 0 && tail.Seq == 0 && t.tail.Less(tail) {
		s.cut(t, tail)
	}
}

// cut moves the tail to where the log ends although something may have come after what this node has: the log has lost
// its end, or what was missed has expired. Who comes from now on begins there. Who is here is told with the next message that
// something may be missing, and not at once: a failover would be a frame for every member of every stream. The caller holds mu.
func (s *shard) cut(t *topic, end protocol.Position) {
	t.tail = end
	if end.Less(t.heard) {
		t.heard = end // positions above it may come again, and leaves before them
	}
	s.enqueue(t, &item{pos: end, msg: nothing, cut: true})
	s.poke()
}

// nothing is what an item has that is no message.
var nothing = new(Message)

// unsettle notes that something may be missing behind tail.
func (t *topic) unsettle(seen protocol.Position) {
	t.settled = false
	if t.seen.Less(seen) {
		t.seen = seen
	}
}

// continues reports whether pos is what comes after the tail. A new epoch continues it when the tail was written
// in the life of Redis that began at fence: then the stream had merely expired.
func (t *topic) continues(pos protocol.Position, fence uint64) bool {
	return t.tail.Next(pos) || pos.Epoch > t.tail.Epoch && pos.Seq == 1 && t.tail.Epoch >= fence
}
