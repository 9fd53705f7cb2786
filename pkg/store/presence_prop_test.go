package store

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// presenceModel is what should be: which connections are open, and on which nodes.
type presenceModel struct {
	s      *Store
	t      testing.TB
	prefix string             // of clients and nodes, so that runs do not meet
	open   map[string]Session // by connId
	nodes  map[string]int     // incarnation of each node
}

func (m *presenceModel) node(name string) string {
	return fmt.Sprint(m.prefix, name, "-", m.nodes[name])
}

func (m *presenceModel) connected(client string) bool {
	for _, se := range m.open {
		if se.ClientID == client {
			return true
		}
	}
	return false
}

// keepRegistered drops what the device policy has replaced: the register is asked, the policies have tests of their own.
func (m *presenceModel) keepRegistered(client string) {
	left := map[string]bool{}
	for _, id := range connIDs(clientOf(m.t, m.s, client)) {
		left[id] = true
	}
	for id, se := range m.open {
		if se.ClientID == client && !left[id] {
			delete(m.open, id)
		}
	}
}

// Whatever happens, events of a client alternate and the last one is the truth.
func TestPresenceConverges(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: noGrace, Partitions: 2})
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		m := &presenceModel{s, t, fmt.Sprint(run, "/"), map[string]Session{}, map[string]int{"x": 0, "y": 0}}
		clients := []string{m.prefix + "anna", m.prefix + "bob", m.prefix + "carl"}
		pick := func() string { return rapid.SampledFrom(clients).Draw(r, "client") }
		var closed []Session
		var opened int64
		r.Repeat(map[string]func(*rapid.T){
			"connect": func(r *rapid.T) {
				se := session(s, pick())
				se.Node = m.node(rapid.SampledFrom([]string{"x", "y"}).Draw(r, "node"))
				se.Device = rapid.SampledFrom([]string{"web", "phone"}).Draw(r, "device")
				opened++
				se.Since = time.UnixMilli(opened) // one after the other, also when they are registered again
				se.Policy = rapid.SampledFrom([]DevicePolicy{"any", "one", "one-per-device", "max:2"}).Draw(r, "policy")
				connect(t, s, se, se.Policy)
				m.open[se.ConnID] = se
				m.keepRegistered(se.ClientID)
			},
			"disconnect": func(r *rapid.T) {
				client := pick()
				for id, se := range m.open {
					if se.ClientID == client {
						disconnect(t, s, se)
						delete(m.open, id)
						closed = append(closed, se)
						return
					}
				}
			},
			"disconnect again": func(r *rapid.T) {
				if len(closed) > 0 {
					disconnect(t, s, rapid.SampledFrom(closed).Draw(r, "closed"))
				}
			},
			"crash and reap": func(r *rapid.T) {
				name := rapid.SampledFrom([]string{"x", "y"}).Draw(r, "node")
				strikeOff(t, s, m.node(name))
				for id, se := range m.open {
					if se.Node == m.node(name) {
						delete(m.open, id)
					}
				}
				m.nodes[name]++
			},
			"pause and restore": func(r *rapid.T) {
				name := rapid.SampledFrom([]string{"x", "y"}).Draw(r, "node")
				old := m.node(name)
				m.nodes[name]++
				var back []Session
				for id, se := range m.open {
					if se.Node == old {
						se.Node = m.node(name)
						m.open[id] = se
						back = append(back, se)
					}
				}
				if rapid.Bool().Draw(r, "reaped first") {
					strikeOff(t, s, old)
					must(t, s.sweep(ctxb))
				}
				wantRestored(t, s, back)
				strikeOff(t, s, old)
			},
			"sweep": func(*rapid.T) { must(t, s.sweep(ctxb)) },
		})
		must(t, s.sweep(ctxb))
		for _, client := range clients {
			wantAlternating(t, s, client, m.connected(client))
			if got := len(clientOf(t, s, client).Connections); got == 0 == m.connected(client) {
				t.Fatalf("%s: %d connections are registered, connected is %v", client, got, m.connected(client))
			}
		}
	})
}
