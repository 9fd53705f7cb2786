package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// onBothWithoutGrace is onBoth with clients that are due to go offline with their last connection.
func onBothWithoutGrace(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run("redis", func(t *testing.T) {
		test(t, open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: noGrace}))
	})
	t.Run("embedded", func(t *testing.T) {
		test(t, open(t, Options{URL: redistest.Embedded(t), Embedded: true, OfflineGrace: noGrace}))
	})
}

func TestLastDeviceOffline(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		web, phone := session(s, "anna"), session(s, "anna")
		phone.Device, phone.Meta = "phone", json.RawMessage(`{"empty":[]}`)
		web.Groups = []string{"news", "chat"}
		connect(t, s, web, AnyDevice)
		connect(t, s, phone, AnyDevice)

		disconnect(t, s, web)
		must(t, s.sweep(ctxb))
		if !clientOf(t, s, "anna").Online {
			t.Fatal("offline although the phone is connected")
		}
		before := time.Now().Add(-time.Second)
		disconnect(t, s, phone, phone, web)
		if !clientOf(t, s, "anna").Online {
			t.Fatal("offline before anybody swept")
		}
		must(t, s.sweep(ctxb))
		must(t, s.sweep(ctxb))
		info := clientOf(t, s, "anna")
		if info.Online || len(info.Connections) != 0 || len(info.Groups) != 2 || info.LastSeen.Before(before) {
			t.Fatalf("after the last device left: %+v", info)
		}
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"online", "join news", "join chat", "offline"})
		last := eventsIn(t, s, "anna")[3]
		if last.Device != "phone" || last.Node != "n1" || string(last.Meta) != `{"empty":[]}` {
			t.Fatalf("offline event: %+v", last)
		}
		wantEqual(t, "groups of the event", last.Groups, []string{"chat", "news"})
		connect(t, s, session(s, "anna"), AnyDevice)
		if info := clientOf(t, s, "anna"); !info.Online || !info.LastSeen.IsZero() {
			t.Errorf("back again: %+v", info)
		}
	})
}

func TestGraceCoversAReconnect(t *testing.T) {
	const grace = 500 * time.Millisecond
	s := open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: grace})
	for try := 0; ; try++ {
		client := fmt.Sprint("anna", try)
		a, b := session(s, client), session(s, client)
		connect(t, s, a, AnyDevice)
		began := time.Now()
		disconnect(t, s, a)
		must(t, s.sweep(ctxb)) // not due yet
		online := connect(t, s, b, AnyDevice).Online
		if try < 10 && time.Since(began) >= grace {
			continue // the machine was too busy to be back in time
		}
		if online {
			t.Fatal("coming back within the grace counted as coming online")
		}
		disconnect(t, s, b)
		eventually(t, "the grace is over", func() bool {
			must(t, s.sweep(ctxb))
			return !clientOf(t, s, client).Online
		})
		wantEqual(t, "events", typesIn(t, s, client), []string{"online", "offline"})
		return
	}
}

func TestOfflineEndsMembershipsUntilThen(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		heard := listen(t, s, "anna")
		se := session(s, "anna")
		se.Groups, se.UntilOffline = []string{"room"}, true
		connect(t, s, se, AnyDevice)
		_, err := s.SyncGroups(ctxb, "anna", unsynced("room"))
		must(t, err)
		_, err = s.Join(ctxb, "team", []string{"anna"}, JoinOptions{})
		must(t, err)
		wantEqual(t, "room", indexOf(t, s, "room"), []string{"anna"})

		disconnect(t, s, se)
		must(t, s.sweep(ctxb))
		wantEqual(t, "room", indexOf(t, s, "room"), []string{})
		wantEqual(t, "team", indexOf(t, s, "team"), []string{"anna"})
		wantEqual(t, "events", typesIn(t, s, "anna"),
			[]string{"online", "join room", "join team", "offline", "leave room"})
		events := eventsIn(t, s, "anna")
		wantEqual(t, "groups of offline", events[3].Groups, []string{"room", "team"})
		eventually(t, "leaving is announced", func() bool {
			ls := heard.lines()
			return len(ls) > 0 && ls[len(ls)-1] == "L\nanna\nroom\n"+empty(t, s, protocol.GroupOf("room")).String()+"\n"
		})
		if n := marks(t, s); n != 0 {
			t.Fatalf("%d marks are left", n)
		}
	})
}

// Both ends keep a connected client from going offline: connecting ends the grace, and the sweep looks again.
func TestNobodyConnectedIsSwept(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		a, b := session(s, "anna"), session(s, "anna")
		connect(t, s, a, AnyDevice)
		disconnect(t, s, a)
		connect(t, s, b, AnyDevice)
		if ps, err := s.leaving(ctxb); err != nil || len(ps) != 0 {
			t.Fatalf("still leaving: %v, %v", ps, err)
		}
		key := s.keys.leaving(s.Partition("anna"))
		must(t, s.do(ctxb, s.client.B().Zadd().Key(key).ScoreMember().ScoreMember(1, "anna").Build()).Error())
		must(t, s.sweep(ctxb))
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"online"})
		if ps, err := s.leaving(ctxb); err != nil || len(ps) != 0 {
			t.Fatalf("still leaving: %v, %v", ps, err)
		}
	})
}

func TestNothingIsLeftOfClosedConnections(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		before := keysOf(t, s)
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		disconnect(t, s, se)
		must(t, s.sweep(ctxb))
		for _, key := range keysOf(t, s) {
			if slices.Contains(before, key) {
				continue
			}
			expires, err := s.do(ctxb, s.client.B().Pttl().Key(key).Build()).AsInt64()
			must(t, err)
			if expires < 0 && key != s.keys.events(s.Partition("anna")) {
				t.Errorf("%q stays for ever", key)
			}
		}
	})
}

func keysOf(t testing.TB, s *Store) []string {
	t.Helper()
	keys, err := s.do(ctxb, s.client.B().Keys().Pattern("*").Build()).AsStrSlice()
	must(t, err)
	return keys
}

func TestSweepTakesManyAtOnce(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: noGrace, Partitions: 1})
	var gone []ConnRef
	const n = 2*sweepBatch + 7
	for i := range n {
		se := session(s, fmt.Sprint("c", i))
		connect(t, s, se, AnyDevice)
		gone = append(gone, ConnRef{ClientID: se.ClientID, ConnID: se.ConnID})
	}
	must(t, s.Disconnect(ctxb, "n1", gone))
	must(t, s.sweep(ctxb))
	ids, _, err := s.OnlineClients(ctxb, "", 0)
	must(t, err)
	wantEqual(t, "online", len(ids), 0)
}

func TestUnknownConnectionsAreSkipped(t *testing.T) {
	onBothWithoutGrace(t, func(t *testing.T, s *Store) {
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		must(t, s.Disconnect(ctxb, "n1", []ConnRef{{ClientID: "anna", ConnID: "nope"}, {ClientID: "bob", ConnID: se.ConnID}}))
		must(t, s.Disconnect(ctxb, "n1", nil))
		must(t, s.sweep(ctxb))
		wantEqual(t, "anna", typesIn(t, s, "anna"), []string{"online"})
		wantEqual(t, "bob", typesIn(t, s, "bob"), []string{})
	})
}

func TestReapTakesOnlyWhatTheDeadNodeHeld(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for i := range 20 {
			se := session(s, fmt.Sprint("c", i))
			se.Node = "dead"
			connect(t, s, se, AnyDevice)
		}
		both, moved := session(s, "both"), session(s, "moved")
		both.Node, moved.Node = "dead", "dead"
		connect(t, s, both, AnyDevice)
		connect(t, s, moved, AnyDevice)
		alive := session(s, "both")
		connect(t, s, alive, AnyDevice)
		moved.Node = "dead-2" // it came back under a new name before it was reaped
		wantRestored(t, s, []Session{moved})

		strikeOff(t, s, "dead")
		strikeOff(t, s, "dead")
		must(t, s.sweep(ctxb)) // the grace of a dead node's clients is over
		ids, _, err := s.OnlineClients(ctxb, "", 0)
		must(t, err)
		if len(ids) != 2 {
			t.Fatalf("online: %v", ids)
		}
		wantEqual(t, "both", connIDs(clientOf(t, s, "both")), []string{alive.ConnID})
		wantEqual(t, "moved", connIDs(clientOf(t, s, "moved")), []string{moved.ConnID})
		wantEqual(t, "c0", typesIn(t, s, "c0"), []string{"online", "offline"})
		wantEqual(t, "node of the event", eventsIn(t, s, "c0")[1].Node, "dead")
	})
}

// The grace begins when the node was last heard of, and its lease is a part of it.
func TestGraceOfADeadNodesClients(t *testing.T) {
	redis := redistest.Start(t)
	for grace, online := range map[time.Duration]bool{leaseTTL: false, leaseTTL + time.Minute: true} {
		s := open(t, Options{URL: redis.URL(), OfflineGrace: grace})
		se := session(s, grace.String())
		se.Node = "dead " + se.ClientID
		connect(t, s, se, AnyDevice)
		// Whoever strikes it off need not know.
		other := open(t, Options{URL: redis.URL()})
		strikeOff(t, other, se.Node)
		must(t, other.sweep(ctxb))
		got, err := s.Online(ctxb, []string{se.ClientID})
		must(t, err)
		if got[se.ClientID] != online {
			t.Errorf("grace %v: online %v when the lease is over", grace, !online)
		}
		due, err := s.do(ctxb, s.client.B().Zscore().Key(s.keys.leaving(s.Partition(se.ClientID))).Member(se.ClientID).Build()).AsFloat64()
		if left := time.Until(time.UnixMilli(int64(due))); online && (err != nil || left > time.Minute || left < time.Minute/2) {
			t.Errorf("it has another %v, %v", left, err)
		}
	}
}

func TestReapTakesManyAtOnce(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 1})
	for i := range 2*reapBatch + 7 {
		connect(t, s, session(s, fmt.Sprint("c", i)), AnyDevice)
	}
	strikeOff(t, s, "n1")
	must(t, s.sweep(ctxb))
	ids, _, err := s.OnlineClients(ctxb, "", 0)
	must(t, err)
	wantEqual(t, "online", len(ids), 0)
}

// A client that comes back at the moment of the sweep is either in time, and nothing is reported, or late, and goes
// offline and online.
func TestSweepRacesWithReconnect(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: noGrace, Partitions: 1})
	first := session(s, "anna")
	connect(t, s, first, AnyDevice)
	current := first
	for range 200 {
		next := session(s, "anna")
		var wg sync.WaitGroup
		wg.Go(func() { must(t, s.sweep(ctxb)) })
		wg.Go(func() {
			must(t, s.Disconnect(ctxb, "n1", []ConnRef{{ClientID: "anna", ConnID: current.ConnID}}))
			_, err := s.Connect(ctxb, next)
			must(t, err)
		})
		wg.Wait()
		current = next
	}
	wantAlternating(t, s, "anna", true)
}

// wantAlternating checks that online and offline alternate, and that the last one is the truth.
func wantAlternating(t testing.TB, s *Store, client string, online bool) {
	t.Helper()
	last := EventOffline
	for i, e := range eventsIn(t, s, client) {
		if e.Type != EventOnline && e.Type != EventOffline {
			continue
		}
		if e.Type == last {
			t.Fatalf("%s: event %d says %s twice in a row", client, i, e.Type)
		}
		last = e.Type
	}
	if (last == EventOnline) != online {
		t.Fatalf("%s: the last event says %s, the truth is online=%v", client, last, online)
	}
	if got := clientOf(t, s, client).Online; got != online {
		t.Fatalf("%s: online=%v, the truth is %v", client, got, online)
	}
}
