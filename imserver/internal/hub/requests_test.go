package hub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// A session that is resumed gets all answers that came meanwhile, however large they are, when its client reads.
func TestMissedRepliesWaitForRoom(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "second", Origin: "first", MayRequest: true})
	for i := range protocol.MaxRequests {
		id := fmt.Sprint("r", i)
		c.Reply(id, protocol.ReplyFrame(id, []byte(`"`+strings.Repeat("x", 4*testCap)+`"`)))
	}
	k := r.dial(c, true)
	k.read().wait("all answers", func(all []got) bool {
		n := 0
		for _, f := range all {
			if f.Type == "reply" {
				n++
			}
		}
		return n == protocol.MaxRequests
	})
}

// Who asks and does not read cannot have this process keep answers without end.
func TestUnreadRepliesAreBounded(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "second", Origin: "first", MayRequest: true})
	k := r.dial(c, true)
	eventually(t, "it is open", c.Ready)
	for i := 0; !c.Over(); i++ {
		if i > 1000 {
			t.Fatal("it may have as many as it likes")
		}
		id := fmt.Sprint("r", i)
		c.Reply(id, protocol.ReplyFrame(id, []byte(`"`+strings.Repeat("x", 64<<10)+`"`)))
	}
	k.read()
	r.expectReason("second", protocol.ReasonStateLost)
}

// Redis keeps answers for a while, also those that were given: there may be more of them than requests may be open, and the same
// one twice.
func TestMoreMissedRepliesThanRequests(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "second", Origin: "first", MayRequest: true})
	for range 2 {
		for i := range 2 * protocol.MaxRequests {
			id := fmt.Sprint("r", i)
			c.Reply(id, protocol.ReplyFrame(id, []byte("1")))
		}
	}
	k := r.dial(c, true).read()
	k.send(`{"type":"start"}`)
	k.wait("started", func(all []got) bool { return len(all) > 0 && all[len(all)-1].Type == "started" })
	replies := make(map[string]bool)
	for _, f := range k.frames() {
		if f.Type == "reply" {
			replies[f.ID] = true
		}
	}
	if len(replies) != protocol.MaxRequests || !replies["r0"] {
		t.Errorf("got %v", replies)
	}
}
