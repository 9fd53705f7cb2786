package store

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestConnectRegistersAndReports(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		se := session(s, "anna")
		se.Meta = json.RawMessage(`{"n":12345678901234567890,"list":[],"x":"\",\"meta\":1"}`)
		se.Since = time.UnixMilli(1700000000123)
		se.Device = `we"b,"meta":`
		c := connect(t, s, se, AnyDevice)
		if !c.Online || len(c.Groups) != 0 || len(c.Cursors) != 0 || c.Inbox.Pos.Seq != 0 || c.Inbox.Pos.Epoch != c.Inbox.Fence || c.Inbox.Fence == 0 {
			t.Fatalf("first connect: %+v", c)
		}
		info := clientOf(t, s, "anna")
		wantEqual(t, "connections", info.Connections, []Connection{
			{ConnID: se.ConnID, Device: se.Device, Node: "n1", Since: se.Since, IP: "192.0.2.1", JTI: se.JTI, Meta: se.Meta}})
		if !info.Online {
			t.Fatal("connected but not online")
		}
		events := eventsIn(t, s, "anna")
		if len(events) != 1 || events[0].Type != EventOnline || events[0].Device != se.Device ||
			events[0].Node != "n1" || string(events[0].Meta) != string(se.Meta) ||
			time.Since(time.UnixMilli(events[0].Time)).Abs() > time.Minute {
			t.Fatalf("events: %+v", events)
		}

		if again := connect(t, s, session(s, "anna"), AnyDevice); again.Online {
			t.Fatal("the second connection put the client online again")
		}
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"online"})
	})
}

func TestConnectReturnsWhereTheInboxAndTheDeviceAre(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		tail := send(t, s, "anna", "m1")
		web, group := protocol.Position{Epoch: 7, Seq: 3}, protocol.Position{Epoch: 9, Seq: 1}
		phone := protocol.Position{Epoch: 7, Seq: 12}
		_, err := s.Join(ctxb, "g", []string{"anna"}, JoinOptions{})
		must(t, err)
		must(t, saveCursors(s, "anna", "web",
			map[string]protocol.Position{"inbox": web, "group:g": group, "group:left": group}))
		must(t, saveCursors(s, "anna", "phone", map[string]protocol.Position{"inbox": phone}))
		c := connect(t, s, session(s, "anna"), "")
		wantEqual(t, "tail", c.Inbox.Pos, tail)
		if c.Inbox.Fence == 0 || c.Inbox.Fence > tail.Epoch {
			t.Fatalf("fence %d does not fit %v", c.Inbox.Fence, tail)
		}
		wantEqual(t, "cursors", c.Cursors, map[string]protocol.Position{"inbox": web, "group:g": group})
		wantEqual(t, "acknowledged", c.Acked, phone)
		n, err := s.do(ctxb, s.client.B().Hlen().Key(s.keys.cursor("anna")).Build()).AsInt64()
		must(t, err)
		wantEqual(t, "cursors kept", n, int64(3))
	})
}

// In a Cluster that is another server's to know.
func TestConnectReturnsWhereTheBroadcastsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		for _, groups := range [][]string{nil, {"g", "h"}} {
			tails, err := s.Tails(ctxb, []protocol.Stream{protocol.AllStream()})
			must(t, err)
			for range 2 {
				raw, v1 := session(s, "anna"), session(s, "anna")
				raw.Groups, v1.Groups, v1.Positions = groups, groups, true
				if c := connect(t, s, raw, ""); c.All == nil || *c.All != tails[0].Pos || len(c.Tails) != len(groups) {
					t.Errorf("without positions: %v with %v, want %v", c.All, c.Tails, tails[0].Pos)
				}
				if c := connect(t, s, v1, ""); c.All != nil || len(c.Tails) != len(groups) {
					t.Errorf("with positions: %v with %v", c.All, c.Tails)
				}
				r, err := s.PublishAll(ctxb, message("m"), false)
				must(t, err)
				tails[0].Pos = r.Pos
			}
		}
	})
}

// saveCursors has a device acknowledge streams.
func saveCursors(s *Store, clientID, device string, pos map[string]protocol.Position) error {
	return s.Acknowledge(ctxb, []Ack{{ClientID: clientID, Device: device, Pos: pos}})
}

func TestCursorsOnlyRise(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		save := func(epoch, seq uint64) {
			must(t, saveCursors(s, "anna", "web", map[string]protocol.Position{"all": {Epoch: epoch, Seq: seq}}))
		}
		for _, p := range [][2]uint64{{5, 9}, {5, 10}, {5, 2}, {4, 99}} {
			save(p[0], p[1])
		}
		got := connect(t, s, session(s, "anna"), "").Cursors["all"]
		wantEqual(t, "cursor", got, protocol.Position{Epoch: 5, Seq: 10})
		save(6, 1)
		got = connect(t, s, session(s, "anna"), "").Cursors["all"]
		wantEqual(t, "cursor", got, protocol.Position{Epoch: 6, Seq: 1})
	})
}

func TestURLWorksOnce(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		jti := protocol.NewID()
		var wg sync.WaitGroup
		var won, used atomic.Int32
		for range 100 {
			wg.Go(func() {
				se := session(s, "anna")
				se.JTI = jti
				switch _, err := s.Connect(ctxb, se); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, ErrURLUsed):
					used.Add(1)
				default:
					t.Errorf("connect: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || used.Load() != 99 {
			t.Fatalf("%d got in, %d were refused", won.Load(), used.Load())
		}
		if n := len(clientOf(t, s, "anna").Connections); n != 1 {
			t.Fatalf("%d connections are registered", n)
		}
	})
}

func TestURLIsForgottenAfterItsTime(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	se := session(s, "anna")
	se.JTITTL = 50 * time.Millisecond
	connect(t, s, se, AnyDevice)
	eventually(t, "the jti expires", func() bool {
		_, err := s.Connect(ctxb, se)
		return err == nil
	})
}

func TestDevicePolicies(t *testing.T) {
	tests := []struct {
		policy  DevicePolicy
		devices []string // in the order of connecting
		stay    []int    // places in devices
	}{
		{"any", []string{"web", "web", "phone"}, []int{0, 1, 2}},
		{"one", []string{"web", "phone", "web"}, []int{2}},
		{"one-per-device", []string{"web", "phone", "web", "pad"}, []int{1, 2, 3}},
		{"max:2", []string{"web", "web", "phone", "pad"}, []int{2, 3}},
		{"max:5", []string{"web", "web"}, []int{0, 1}},
	}
	onAll(t, func(t *testing.T, s *Store) {
		for _, test := range tests {
			client := "client of " + string(test.policy)
			heard := listen(t, s, client)
			var all []Session
			for i, device := range test.devices {
				se := session(s, client)
				se.Device, se.Node = device, "n"+device
				se.Since = time.Now().Add(-time.Duration(i) * time.Hour) // clocks of nodes may disagree
				if test.policy == "max:2" {
					se.Since = time.Now().Add(time.Duration(i) * time.Hour)
				}
				connect(t, s, se, test.policy)
				all = append(all, se)
			}
			left := map[string]bool{}
			for _, id := range connIDs(clientOf(t, s, client)) {
				left[id] = true
			}
			replaced := 0
			for i, se := range all {
				stays := false
				for _, place := range test.stay {
					stays = stays || place == i
				}
				onNode, err := s.do(ctxb, s.client.B().Hexists().Key(s.keys.nodeConns(s.Partition(client), se.Node)).
					Field(se.ConnID).Build()).AsBool()
				must(t, err)
				if left[se.ConnID] != stays || onNode != stays {
					t.Errorf("%s: connection %d: registered %v, with its node %v, want %v",
						test.policy, i, left[se.ConnID], onNode, stays)
				}
				if stays {
					continue
				}
				replaced++
				eventually(t, "the replaced connection is told", func() bool {
					for _, p := range heard.heard() {
						if p.Kind == protocol.PushKick && p.ClientID == client && p.ConnID == se.ConnID && p.Code == 4501 && p.By != "" {
							return true
						}
					}
					return false
				})
			}
			if n := len(heard.heard()); n != replaced {
				t.Errorf("%s: %d orders to close for %d replaced connections", test.policy, n, replaced)
			}
			wantEqual(t, "events", typesIn(t, s, client), []string{"online"})
		}
	})
}

func TestBadDevicePolicies(t *testing.T) {
	for _, text := range []string{"", "any", "one", "one-per-device", "max:1", "max:1000"} {
		if _, err := ParseDevicePolicy(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"two", "max:", "max:0", "max:-1", "max:1001", "max:x", "Max:2", "1", "max:01", "max:+2"} {
		if _, err := ParseDevicePolicy(text); !errors.Is(err, ErrBadPolicy) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRestoreIsQuietUnlessTheClientWasOffline(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		a, b := session(s, "anna"), session(s, "bob")
		connect(t, s, a, AnyDevice)
		a.Node = "n2" // a new incarnation
		wantRestored(t, s, []Session{a, b})
		wantRestored(t, s, []Session{a, b})
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"online"})
		wantEqual(t, "events", typesIn(t, s, "bob"), []string{"online"})
		wantEqual(t, "node", clientOf(t, s, "anna").Connections[0].Node, "n2")
		old, err := s.do(ctxb, s.client.B().Exists().Key(s.keys.nodeConns(s.Partition("anna"), "n1")).Build()).AsInt64()
		must(t, err)
		if s.Partition("bob") != s.Partition("anna") && old != 0 {
			t.Fatal("the connection is still listed under the node's old name")
		}
	})
}

func TestRestoreKeepsToThePolicy(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		heard := listen(t, s, "anna")
		old, young := session(s, "anna"), session(s, "anna")
		old.Since, young.Since = time.Now().Add(-time.Hour), time.Now()
		old.Policy = OneDevice
		connect(t, s, young, OneDevice)
		wantRestored(t, s, []Session{old})
		wantEqual(t, "connections", connIDs(clientOf(t, s, "anna")), []string{young.ConnID})
		eventually(t, "the old one is told to close", func() bool {
			ps := heard.heard()
			return len(ps) == 1 && ps[0].ConnID == old.ConnID
		})
	})
}

func TestConnectRefusesIncompleteSessions(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for _, spoil := range []func(*Session){
		func(se *Session) { se.JTI = "" },
		func(se *Session) { se.JTITTL = 0 },
		func(se *Session) { se.Meta = json.RawMessage(`{"broken`) },
	} {
		se := session(s, "anna")
		spoil(&se)
		if _, err := s.Connect(ctxb, se); err == nil {
			t.Errorf("accepted %+v", se)
		}
	}
	se := session(s, "anna")
	se.Policy = "max:0"
	if _, err := s.Connect(ctxb, se); !errors.Is(err, ErrBadPolicy) {
		t.Errorf("bad policy: %v", err)
	}
	if clientOf(t, s, "anna").Online {
		t.Error("a refused session left the client online")
	}
}
