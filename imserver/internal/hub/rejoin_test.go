package hub

import (
	"sync"
	"testing"
)

// A client that names where it stopped in a group, and becomes a member again while it starts, is not told that nothing is
// missing: what was said after that position and before it left is.
func TestJoinedAgainDuringTheStart(t *testing.T) {
	r := newRig(t)
	r.publish(all, message("x")) // something to look for in the log
	c := r.admit(Info{ClientID: "ann", ID: "conn-ann"})
	k := r.dial(c, true).read()
	var once sync.Once
	r.log.set(func() {
		r.log.read = func() {
			once.Do(func() {
				r.drop(chess, "a", "b")
				r.hub.Hold(chess)
				r.hub.Settle(chess, r.tail(chess))
				r.hub.Join(c, chess, r.tail(chess))
				r.hub.Release(chess)
			})
		}
	})
	k.send(`{"type":"start","pos":{"all":"10-0","group:chess":"10-1"}}`)
	k.wait("started", func(all []got) bool { return len(all) >= 2 && all[1].Type == "started" })
	started := k.frames()[1]
	if told, ok := started.Recovered["group:chess"]; !ok || told {
		t.Errorf("recovered: %v, want group:chess in it as false", started.Recovered)
	}
}
