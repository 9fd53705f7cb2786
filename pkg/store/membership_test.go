package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// wantIndexTrue checks that the indexes of groups say what the clients' truth says, and that nothing is unfinished.
func wantIndexTrue(t testing.TB, s *Store, clients, groups []string) {
	t.Helper()
	for _, group := range groups {
		want := []string{}
		for _, client := range clients {
			ms, err := s.GroupsOf(ctxb, client)
			must(t, err)
			for _, m := range ms {
				if m.Group == group {
					want = append(want, client)
					if !m.Synced {
						t.Errorf("%s in %s is not synced", client, group)
					}
				}
			}
		}
		slices.Sort(want)
		wantEqual(t, "index of "+group, indexOf(t, s, group), want)
		infos, _, err := s.Groups(ctxb, "", 0)
		must(t, err)
		listed := slices.ContainsFunc(infos, func(i GroupInfo) bool { return i.Group == group })
		if listed != (len(want) > 0) {
			t.Errorf("%s: listed=%v with %d members", group, listed, len(want))
		}
	}
	if n := marks(t, s); n != 0 {
		t.Errorf("%d marks are left", n)
	}
}

func TestJoinsAndLeavesRace(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 4})
	clients, groups := names("c", 3), names("g", 2)
	var wg sync.WaitGroup
	for w := range 12 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for range 60 {
				client, group := clients[rnd.IntN(3)], groups[rnd.IntN(2)]
				var err error
				switch rnd.IntN(7) {
				case 0, 1:
					_, err = s.Join(ctxb, group, []string{client}, JoinOptions{})
				case 2, 3:
					_, err = s.Leave(ctxb, group, []string{client})
				case 4:
					_, err = s.SyncGroups(ctxb, client, []Membership{{Group: groups[0], Synced: true}, {Group: groups[1]}})
				case 5:
					_, err = s.reconcile(ctxb, []pair{{client, group}})
				case 6:
					se := session(s, client)
					se.Groups = []string{group}
					_, err = s.Connect(ctxb, se)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	age(t, s) // settleRounds may have run out
	must(t, s.repair(ctxb))
	wantIndexTrue(t, s, clients, groups)
	for _, c := range clients { // joins and leaves alternate per membership
		last := map[string]string{}
		for _, e := range eventsIn(t, s, c) {
			if last[e.Group] == e.Type || last[e.Group] == "" && e.Type == EventLeave {
				t.Errorf("%s %s: %s follows %q", c, e.Group, e.Type, last[e.Group])
			}
			last[e.Group] = e.Type
		}
	}
}

// Whoever changes a membership may die after any step, and another may change it meanwhile. The janitor finishes it.
func TestAbandonedChangesAreFinished(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		step := func(op, client string, steps int) {
			token := newToken()
			todo, _, err := s.writeTruth(ctxb, op, "p -", token, []pair{{client, "room"}})
			must(t, err)
			if steps > 1 {
				_, err = s.writeIndex(ctxb, todo)
				must(t, err)
			}
		}
		step(opJoin, "joined 1", 1)
		step(opJoin, "joined 2", 2)
		for _, id := range []string{"left 1", "left 2", "late"} {
			_, err := s.Join(ctxb, "room", []string{id}, JoinOptions{})
			must(t, err)
		}
		step(opLeave, "left 1", 1)
		step(opLeave, "left 2", 2)

		// A leaver stands still between step 1 and step 2, the client joins again, then the leaver writes the
		// index and dies.
		token := newToken()
		todo, _, err := s.writeTruth(ctxb, opLeave, "", token, []pair{{"late", "room"}})
		must(t, err)
		_, err = s.Join(ctxb, "room", []string{"late"}, JoinOptions{})
		must(t, err)
		_, err = s.writeIndex(ctxb, todo)
		must(t, err)
		if slices.Contains(indexOf(t, s, "room"), "late") {
			t.Fatal("the leaver did not spoil the index: the test tests nothing")
		}

		must(t, s.repair(ctxb))
		if marks(t, s) != 5 {
			t.Fatal("changes that are under way were taken for abandoned")
		}
		age(t, s)
		must(t, s.repair(ctxb))
		wantIndexTrue(t, s, []string{"joined 1", "joined 2", "left 1", "left 2", "late"}, []string{"room"})
		wantEqual(t, "members", indexOf(t, s, "room"), []string{"joined 1", "joined 2", "late"})
	})
}

// Memberships that begin or end with a connection have a mark, too, for the case that the node or the janitor dies
// before it wrote the index.
func TestAbandonedChangesOfConnectionsAreFinished(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), OfflineGrace: noGrace})
	se := session(s, "anna")
	se.Groups, se.UntilOffline = []string{"room"}, true
	connect(t, s, se, AnyDevice)
	age(t, s)
	must(t, s.repair(ctxb))
	wantEqual(t, "members", indexOf(t, s, "room"), []string{"anna"})
	wantIndexTrue(t, s, []string{"anna"}, []string{"room"})

	disconnect(t, s, se)
	_, err := s.runChunks(ctxb, sweepScript, []call{s.sweepCall(s.Partition("anna"))}, "sweep")
	must(t, err)
	wantEqual(t, "members", indexOf(t, s, "room"), []string{"anna"})
	age(t, s)
	must(t, s.repair(ctxb))
	wantIndexTrue(t, s, []string{"anna"}, []string{"room"})
	wantEqual(t, "members", indexOf(t, s, "room"), []string{})
}

// Looking at a finished membership again neither moves its start nor announces it twice.
func TestReconcilingWhatIsTrueChangesNothing(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	heard := listen(t, s, "anna", "room")
	_, err := s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
	must(t, err)
	before, err := s.GroupsOf(ctxb, "anna")
	must(t, err)
	_, err = s.PublishGroup(ctxb, message("1"), "room", false)
	must(t, err)
	_, err = s.reconcile(ctxb, []pair{{"anna", "room"}})
	must(t, err)
	after, err := s.GroupsOf(ctxb, "anna")
	must(t, err)
	wantEqual(t, "membership", after, before)
	_, err = s.PublishGroup(ctxb, message("2"), "room", false)
	must(t, err)
	eventually(t, "the last message", func() bool { return len(heard.heard()) >= 3 })
	kinds := ""
	for _, p := range heard.heard() {
		kinds += string(p.Kind)
	}
	wantEqual(t, "pushes", kinds, "JMM")
}

// A slow leaver finds the client joined again, and writes the index back.
func TestOvertakenLeaverPutsTheIndexRight(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	_, err := s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
	must(t, err)
	token := newToken()
	todo, _, err := s.writeTruth(ctxb, opLeave, "", token, []pair{{"anna", "room"}})
	must(t, err)
	_, err = s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
	must(t, err)
	done, err := s.settle(ctxb, token, todo)
	must(t, err)
	if len(done) != 1 || !done[0].member {
		t.Fatalf("settled as %+v", done)
	}
	wantIndexTrue(t, s, []string{"anna"}, []string{"room"})
}

func TestRepairOfMany(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 2})
	var pairs []pair
	var clients []string
	for i := range 3 * repairScan {
		clients = append(clients, fmt.Sprint("c", i))
		pairs = append(pairs, pair{clients[i], "room"})
	}
	_, _, err := s.writeTruth(ctxb, opJoin, "o -", newToken(), pairs)
	must(t, err)
	age(t, s)
	must(t, s.repair(ctxb))
	wantIndexTrue(t, s, clients, []string{"room"})
}

// Who hears of a join or a leave acts on it at once: by then it has to be so. And each is told once, in turn, whatever
// overtakes whatever.
func TestMembershipsAreReportedWhenTheyAreOver(t *testing.T) {
	pairs := []pair{{"anna", "room"}}
	begin := func(t *testing.T, s *Store, op string) func() { // step 1; what it returns does the others
		t.Helper()
		token := newToken()
		truth := map[string]string{opJoin: "p -"}[op]
		todo, _, err := s.writeTruth(ctxb, op, truth, token, pairs)
		must(t, err)
		return func() {
			t.Helper()
			_, err := s.settle(ctxb, token, todo)
			must(t, err)
		}
	}
	told := func(t *testing.T, s *Store, want ...string) {
		t.Helper()
		if got := typesIn(t, s, "anna"); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	join, leave := "join room", "leave room"
	t.Run("a join", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			end := begin(t, s, opJoin)
			told(t, s)
			end()
			told(t, s, join)
			begin(t, s, opJoin)() // again
			told(t, s, join)
		})
	})
	t.Run("a leave", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			begin(t, s, opJoin)()
			hers, err := s.PublishGroup(ctxb, message("for anna"), "room", false)
			must(t, err)
			ear := listenTo(t, s, s.ClientChannel(s.Partition("anna")), s.GroupChannel(s.Partition("room")))
			end := begin(t, s, opLeave)
			told(t, s, join)
			end()
			told(t, s, join, leave)
			_, err = s.PublishGroup(ctxb, message("about anna"), "room", false)
			must(t, err)
			ending := []protocol.PushKind{protocol.PushLeave}
			if s.cluster { // the leave comes from another server, whenever it likes
				ending = append(ending, protocol.PushUnsure)
			}
			eventually(t, "all pushes", func() bool { return len(ear.heard()) == 1+len(ending) })
			var before []protocol.PushKind
			for _, p := range ear.heard() {
				switch {
				case p.Kind == protocol.PushMessage:
					if !slices.Contains(before, ending[len(ending)-1]) {
						t.Errorf("the node hears %q before the message: it gives it to who has left", before)
					}
				case p.Pos != hers.Pos || p.Kind == protocol.PushLeave && !p.Ends:
					t.Errorf("%c ends at %v, not behind what was sent before it, %v", p.Kind, p.Pos, hers.Pos)
				}
				before = append(before, p.Kind)
			}
			for _, kind := range ending {
				if !slices.Contains(before, kind) {
					t.Errorf("the node hears %q, and no %c", before, kind)
				}
			}
		})
	})
	t.Run("a join undone before it was over", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			joined, left := begin(t, s, opJoin), begin(t, s, opLeave)
			joined()
			left()
			told(t, s)
		})
	})
	t.Run("a leave undone before it was over", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			begin(t, s, opJoin)()
			ear := listenTo(t, s, s.ClientChannel(s.Partition("anna")))
			left, again := begin(t, s, opLeave), begin(t, s, opJoin)
			left()
			again()
			told(t, s, join, leave, join)
			eventually(t, "both pushes", func() bool { return len(ear.heard()) == 2 })
			if p := ear.heard(); p[0].Kind != protocol.PushLeave || p[1].Kind != protocol.PushJoin {
				t.Errorf("the node hears %c, then %c", p[0].Kind, p[1].Kind)
			}
		})
	})
	t.Run("a leave undone by a URL before it was over", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			begin(t, s, opJoin)()
			hers, err := s.PublishGroup(ctxb, message("for anna"), "room", false)
			must(t, err)
			ear := listenTo(t, s, s.ClientChannel(s.Partition("anna")))
			left := begin(t, s, opLeave)
			se := session(s, "anna")
			se.Groups = []string{"room"}
			connect(t, s, se, AnyDevice)
			left()
			eventually(t, "both pushes", func() bool { return len(ear.heard()) == 2 })
			if p := ear.heard(); p[0].Kind != protocol.PushLeave || !p[0].Ends || p[0].Pos != hers.Pos || p[1].Kind != protocol.PushJoin {
				t.Errorf("the node hears %+v", p)
			}
			told(t, s, join, "online", leave, join)
			wantIndexTrue(t, s, []string{"anna"}, []string{"room"})
		})
	})
	t.Run("a join that ends with the client's being online", func(t *testing.T) {
		onBothWithoutGrace(t, func(t *testing.T, s *Store) {
			se := session(s, "anna")
			connect(t, s, se, AnyDevice)
			token := newToken()
			todo, _, err := s.writeTruth(ctxb, opJoin, "o -", token, pairs)
			must(t, err)
			disconnect(t, s, se)
			must(t, s.sweep(ctxb))
			_, err = s.settle(ctxb, token, todo)
			must(t, err)
			told(t, s, "online", "offline")
		})
	})
}
