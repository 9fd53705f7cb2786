package hub

import (
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// cut is a log that comes back without its end, and goes on in the epoch it had: a fence that was raised is lost, too.
func (r *rig) cut(st protocol.Stream, left int) {
	r.log.set(func() { r.log.streams[st] = r.log.streams[st][:left:left] })
}

// A log that ends before what this node has seen has lost its end, though nobody has raised the fence yet: whoever begins where it ends
// now may have missed what is lost.
func TestAStartWhereTheLogLostItsEnd(t *testing.T) {
	for pos, started := range map[string]string{"10-2": "10-2", "10-3": "10-3", "10-5": "10-3"} {
		t.Run(pos, func(t *testing.T) {
			r := newRig(t)
			other := r.connect("ann", true)
			for _, id := range numbers("m", 0, 5) {
				r.publish(ann, message(id))
			}
			other.expect("inbox", numbers("m", 0, 5)...)
			k := r.dial(r.admit(Info{ClientID: "ann", ID: "back"}), true).read()
			r.cut(ann, 3)
			k.send(`{"type":"start","pos":{"inbox":"` + pos + `"}}`)
			k.wait("started", func(all []got) bool { return len(all) > 1 })
			if f := k.frames()[1]; f.Pos["inbox"] != started || f.Recovered["inbox"] {
				t.Errorf("started %s, want the inbox in doubt and at %s", f.Raw, started)
			}
		})
	}
}
