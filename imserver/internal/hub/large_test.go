package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// A client that comes back names all that it follows, and acknowledges it: that may be more than a message has.
func TestAClientOfManyGroupsMayNameThem(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Input.MaxMessage = 1000 })
	pos := map[string]string{"inbox": "10-0", "all": "10-0"}
	var groups []string
	for i := range 100 {
		g := fmt.Sprint(strings.Repeat("g", protocol.MaxNameLen-3), i)
		groups = append(groups, g)
		pos["group:"+g] = "18446744073709551615-18446744073709551615"
	}
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c", MayRequest: true}, groups[:50]...), true).read()
	frame := func(typ string, pos map[string]string) string {
		b, err := json.Marshal(map[string]any{"type": typ, "pos": pos})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	k.send(frame("start", pos)) // also groups that it has left meanwhile
	k.wait("started", func(all []got) bool { return len(all) >= 2 && all[1].Type == "started" })
	for _, g := range groups[50:] {
		r.join(k.conn, protocol.GroupOf(g), r.tail(protocol.GroupOf(g)))
	}
	k.send(frame("ack", pos))
	k.send(`{"type":"ping"}`)
	k.waitLast("pong")

	for _, g := range groups[10:] { // it needs less from now on
		r.hub.Leave(k.conn, protocol.GroupOf(g))
	}
	k.send(frame("ack", pos))
	k.expectClose(protocol.ReasonTooBig.Code())
}

// What requests may have does not depend on groups.
func TestLargeRequestsOfAClientOfManyGroups(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Input.MaxMessage = 1000 })
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c", MayRequest: true}, numbers("g", 0, 100)...), true).read()
	k.send(`{"type":"start"}`)
	k.send(`{"type":"request","id":"r","data":"` + strings.Repeat("x", 1000) + `"}`)
	k.expectClose(protocol.ReasonTooBig.Code())
}
