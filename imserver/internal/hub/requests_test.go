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
