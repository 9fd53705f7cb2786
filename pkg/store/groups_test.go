package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestJoinAndLeave(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		heard := listen(t, s, "anna", "bob")
		added, err := s.Join(ctxb, "room", []string{"anna", "bob", "anna"}, JoinOptions{})
		must(t, err)
		wantEqual(t, "added", added, 2)
		added, err = s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
		must(t, err)
		wantEqual(t, "added again", added, 0)
		wantEqual(t, "members", indexOf(t, s, "room"), []string{"anna", "bob"})
		groups, err := s.GroupsOf(ctxb, "anna")
		must(t, err)
		since := empty(t, s, protocol.GroupOf("room"))
		wantEqual(t, "groups", groups, []Membership{{Group: "room", Synced: true, Pos: since}})

		each, err := s.GroupsOfEach(ctxb, []string{"carl", "bob", "anna"})
		must(t, err)
		wantEqual(t, "groups of each", each, [][]Membership{{}, groups, groups})

		removed, err := s.Leave(ctxb, "room", []string{"anna", "carl"})
		must(t, err)
		wantEqual(t, "removed", removed, 1)
		wantEqual(t, "members", indexOf(t, s, "room"), []string{"bob"})
		wantEqual(t, "anna's events", typesIn(t, s, "anna"), []string{"join room", "leave room"})
		wantEqual(t, "carl's events", typesIn(t, s, "carl"), []string{})
		eventually(t, "both are told", func() bool {
			lines := heard.lines()
			return slices.Contains(lines, "J\nanna\nroom\n"+since.String()+"\n") &&
				slices.Contains(lines, "J\nbob\nroom\n"+since.String()+"\n") &&
				slices.Contains(lines, "L\nanna\nroom\n"+since.String()+"\n")
		})
		wantEqual(t, "marks", marks(t, s), 0)
	})
}

func TestOneClientInManyGroups(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		groups := names("g", 150)
		added, err := s.JoinGroups(ctxb, "anna", groups, JoinOptions{})
		must(t, err)
		wantEqual(t, "added", added, 150)
		infos, next, err := s.Groups(ctxb, "", 0)
		must(t, err)
		if len(infos) != 150 || next != "" {
			t.Fatalf("%d groups, next %q", len(infos), next)
		}
		removed, err := s.LeaveGroups(ctxb, "anna", groups)
		must(t, err)
		wantEqual(t, "removed", removed, 150)
		infos, _, err = s.Groups(ctxb, "", 0)
		must(t, err)
		wantEqual(t, "groups", len(infos), 0)
	})
}

func TestJoinManyAtOnce(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), Partitions: 2})
	ids := names("c", 2*scriptBatch+200)
	added, err := s.Join(ctxb, "room", ids, JoinOptions{})
	must(t, err)
	wantEqual(t, "added", added, len(ids))
	for _, id := range ids[:3] {
		connect(t, s, session(s, id), AnyDevice)
	}
	info, err := s.Group(ctxb, "room")
	must(t, err)
	wantEqual(t, "count", info, GroupInfo{"room", len(ids), 3})
}

func TestMembershipModes(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		join := func(untilOffline bool) Membership {
			_, err := s.Join(ctxb, "room", []string{"anna"}, JoinOptions{UntilOffline: untilOffline})
			must(t, err)
			groups, err := s.GroupsOf(ctxb, "anna")
			must(t, err)
			return groups[0]
		}
		if m := join(true); !m.UntilOffline || !m.Synced {
			t.Fatalf("joined until offline: %+v", m)
		}
		if m := join(false); m.UntilOffline || !m.Synced {
			t.Fatalf("made lasting: %+v", m)
		}
		if m := join(true); m.UntilOffline {
			t.Fatalf("a lasting membership became a passing one: %+v", m)
		}
		se := session(s, "bob")
		se.Groups, se.UntilOffline = []string{"room"}, true
		connect(t, s, se, AnyDevice)
		se = session(s, "bob")
		se.Groups = []string{"room"}
		if m := connect(t, s, se, AnyDevice).Groups[0]; m.UntilOffline || !m.Synced {
			t.Fatalf("made lasting by a URL: %+v", m)
		}
	})
}

// What is published after Join returned comes after the position at which the membership starts, and the client's node
// was told that position only after the index had the client.
func TestMembershipStartsBeforeWhatFollowsJoin(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		old, err := s.PublishGroup(ctxb, message("before"), "room", false)
		must(t, err)
		heard := listen(t, s, "anna", "room")
		_, err = s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
		must(t, err)
		groups, err := s.GroupsOf(ctxb, "anna")
		must(t, err)
		wantEqual(t, "start", groups[0].Pos, old.Pos)
		next, err := s.PublishGroup(ctxb, message("after"), "room", false)
		must(t, err)
		if !groups[0].Pos.Less(next.Pos) {
			t.Fatalf("starts at %v, the next message is %v", groups[0].Pos, next.Pos)
		}
		eventually(t, "join and message are heard", func() bool { return len(heard.heard()) == 2 })
		first := heard.heard()[0]
		if first.Kind != protocol.PushJoin || first.Pos != groups[0].Pos {
			t.Fatalf("heard first: %+v", first)
		}
	})
}

// While messages flow, a join is announced with a position, and everything published after the announcement lies
// behind it.
func TestJoinIsAnnouncedAfterTheIndex(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	token := newToken()
	todo, changed, err := s.writeTruth(ctxb, opJoin, "p -", token, []pair{{"anna", "room"}})
	must(t, err)
	wantEqual(t, "changed", changed, 1)
	heard := listen(t, s, "anna")
	groups, err := s.GroupsOf(ctxb, "anna")
	must(t, err)
	if groups[0].Synced || len(indexOf(t, s, "room")) != 0 {
		t.Fatal("step 1 did more than the truth")
	}
	between, err := s.PublishGroup(ctxb, message("between"), "room", false)
	must(t, err)
	written, err := s.writeIndex(ctxb, todo)
	must(t, err)
	wantEqual(t, "index", indexOf(t, s, "room"), []string{"anna"})
	if n := len(heard.heard()); n != 0 {
		t.Fatalf("announced before it was compared: %v", heard.lines())
	}
	_, again, err := s.compare(ctxb, token, written)
	must(t, err)
	wantEqual(t, "to do again", len(again), 0)
	eventually(t, "the announcement", func() bool {
		return slices.Equal(heard.lines(), []string{"J\nanna\nroom\n" + between.Pos.String() + "\n"})
	})
}

// In a Cluster a connect leaves to SyncGroups what lies in the partitions of the groups.
func TestSyncGroupsCompletesThoseOfTheURL(t *testing.T) {
	s := onCluster(t)
	_, err := s.Join(ctxb, "old", []string{"anna"}, JoinOptions{})
	must(t, err)
	old, err := s.PublishGroup(ctxb, message("1"), "old", false)
	must(t, err)
	fresh, err := s.PublishGroup(ctxb, message("2"), "new", false)
	must(t, err)
	se := session(s, "anna")
	se.Groups = []string{"new", "old"}
	c := connect(t, s, se, AnyDevice)
	if len(c.Groups) != 2 || c.Groups[0].Synced || !c.Groups[1].Synced || len(c.Tails) != 0 {
		t.Fatalf("groups at connect: %+v, tails %v", c.Groups, c.Tails)
	}
	tails, err := s.SyncGroups(ctxb, "anna", append(c.Groups, Membership{Group: "left meanwhile", Synced: true}, Membership{Group: "left unfinished"}))
	must(t, err)
	wantEqual(t, "tails", tails, map[string]protocol.Position{"new": fresh.Pos, "old": old.Pos})
	wantEqual(t, "index", indexOf(t, s, "new"), []string{"anna"})
	wantEqual(t, "marks", marks(t, s), 0)
	groups, err := s.GroupsOf(ctxb, "anna")
	must(t, err)
	if !groups[0].Synced || groups[0].Pos != fresh.Pos {
		t.Fatalf("groups afterwards: %+v", groups)
	}
}

// A server of a Cluster has lost what the client's groups are, and that of a group knows still that the client is a member: who comes
// back with a URL is a member at once, and not only when a janitor looks.
func TestSyncGroupsCompletesWhatTheIndexKnowsFromBefore(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		_, err := s.Join(ctxb, "room", []string{"anna"}, JoinOptions{})
		must(t, err)
		must(t, s.client.Do(ctxb, s.client.B().Del().Key(s.keys.groups("anna")).Build()).Error())
		se := session(s, "anna")
		se.Groups = []string{"room"}
		c := connect(t, s, se, AnyDevice)
		_, err = s.SyncGroups(ctxb, "anna", c.Groups)
		must(t, err)
		groups, err := s.GroupsOf(ctxb, "anna")
		must(t, err)
		if len(groups) != 1 || !groups[0].Synced {
			t.Errorf("groups: %+v", groups)
		}
		wantEqual(t, "marks", marks(t, s), 0)
	})
}

// On one server a connect leaves nothing to be done for the groups of its URL.
func TestConnectJoinsInOneStep(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		_, err := s.Join(ctxb, "old", []string{"anna"}, JoinOptions{})
		must(t, err)
		began, err := s.GroupsOf(ctxb, "anna")
		must(t, err)
		old, err := s.PublishGroup(ctxb, message("1"), "old", false)
		must(t, err)
		fresh, err := s.PublishGroup(ctxb, message("2"), "new", false)
		must(t, err)
		must(t, s.do(ctxb, s.client.B().Zrem().Key(s.keys.members("old")).Member("anna").Build()).Error()) // lost
		heard := listen(t, s, "anna")

		se := session(s, "anna")
		se.Groups, se.UntilOffline = []string{"new", "old", "empty"}, true
		c := connect(t, s, se, AnyDevice)
		empty := c.Tails["empty"]
		wantEqual(t, "tails", c.Tails, map[string]protocol.Position{"new": fresh.Pos, "old": old.Pos, "empty": empty})
		wantEqual(t, "tail of a group without messages", empty, protocol.Position{Epoch: c.Inbox.Fence})
		want := []Membership{
			{Group: "empty", UntilOffline: true, Pos: empty, Synced: true},
			{Group: "new", UntilOffline: true, Pos: fresh.Pos, Synced: true},
			{Group: "old", Pos: began[0].Pos, Synced: true},
		}
		wantEqual(t, "groups", c.Groups, want)
		for _, g := range se.Groups {
			wantEqual(t, "index of "+g, indexOf(t, s, g), []string{"anna"})
			info, err := s.Group(ctxb, g)
			must(t, err)
			wantEqual(t, "members of "+g, info.Members, 1)
		}
		list, _, err := s.Groups(ctxb, "", 10)
		must(t, err)
		wantEqual(t, "groups that there are", len(list), 3)
		wantEqual(t, "marks", marks(t, s), 0)
		wantEqual(t, "events", typesIn(t, s, "anna"), []string{"join old", "online", "join new", "join empty"})
		eventually(t, "the client's other connections are told", func() bool {
			return slices.Equal(heard.lines(), []string{
				"J\nanna\nnew\n" + fresh.Pos.String() + "\n", "J\nanna\nempty\n" + empty.String() + "\n",
			})
		})
		_, err = s.LeaveGroups(ctxb, "anna", se.Groups)
		must(t, err)
		list, _, err = s.Groups(ctxb, "", 10)
		must(t, err)
		wantEqual(t, "groups afterwards", len(list), 0)

		if _, err := s.Connect(ctxb, se); !errors.Is(err, ErrURLUsed) {
			t.Errorf("a second use of the URL: %v", err)
		}
		wantEqual(t, "index after a second use", indexOf(t, s, "new"), []string{})
	})
}

// A join that is under way is its owner's to finish, who knows where the membership begins.
func TestConnectLeavesAJoinToItsOwner(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, truth := range []string{"o -", "o +"} {
			token := newToken()
			todo, _, err := s.writeTruth(ctxb, opJoin, truth, token, []pair{{"anna", "room"}})
			must(t, err)
			se := session(s, "anna")
			se.Groups = []string{"room"}
			c := connect(t, s, se, AnyDevice)
			if m := c.Groups[0]; m.Synced || m.UntilOffline || len(c.Tails) != 0 {
				t.Errorf("at connect: %+v, tails %v", m, c.Tails)
			}
			wantEqual(t, "index", indexOf(t, s, "room"), []string{})
			_, err = s.settle(ctxb, token, todo)
			must(t, err)
			groups, err := s.GroupsOf(ctxb, "anna")
			must(t, err)
			wantEqual(t, "with history", groups[0].History, truth == "o +")
			wantEqual(t, "marks", marks(t, s), 0)
			_, err = s.Leave(ctxb, "room", []string{"anna"})
			must(t, err)
		}
	})
}

func TestDissolve(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ids := names("c", 30)
		_, err := s.Join(ctxb, "room", ids, JoinOptions{})
		must(t, err)
		last, err := s.PublishGroup(ctxb, message("1"), "room", false)
		must(t, err)
		heard := listen(t, s, ids...)
		must(t, s.Dissolve(ctxb, "room"))
		must(t, s.Dissolve(ctxb, "room"))
		info, err := s.Group(ctxb, "room")
		must(t, err)
		wantEqual(t, "group", info, GroupInfo{Group: "room"})
		wantEqual(t, "history", stored(t, s, protocol.GroupOf("room")), []string{})
		eventually(t, "all are told", func() bool {
			told := slices.DeleteFunc(heard.heard(), func(p *protocol.Push) bool { return p.Kind == protocol.PushUnsure }) // in a Cluster
			return len(told) == 30
		})
		for _, id := range ids {
			wantEqual(t, id, typesIn(t, s, id), []string{"join room", "leave room"})
		}
		next, err := s.PublishGroup(ctxb, message("2"), "room", false)
		must(t, err)
		if !last.Pos.Less(next.Pos) {
			t.Fatalf("positions fell from %v to %v", last.Pos, next.Pos)
		}
	})
}

func TestPagesAreCompleteAndStable(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ids := append(names("c", 137), "übergröße", "a b")
		for i, id := range ids {
			connect(t, s, session(s, id), AnyDevice)
			_, err := s.JoinGroups(ctxb, id, []string{"all", fmt.Sprint("only ", i)}, JoinOptions{})
			must(t, err)
		}
		walks := map[string]func(cursor string, limit int) ([]string, string, error){
			"online": func(c string, n int) ([]string, string, error) { return s.OnlineClients(ctxb, c, n) },
			"members": func(c string, n int) ([]string, string, error) {
				ms, next, err := s.Members(ctxb, "all", c, n)
				var out []string
				for _, m := range ms {
					if !m.Online {
						t.Errorf("%s is not online", m.ClientID)
					}
					out = append(out, m.ClientID)
				}
				return out, next, err
			},
			"groups": func(c string, n int) ([]string, string, error) {
				gs, next, err := s.Groups(ctxb, c, n)
				var out []string
				for _, g := range gs {
					if g.Group != "all" {
						wantEqual(t, g.Group, []int{g.Members, g.Online}, []int{1, 1})
						out = append(out, g.Group)
					} else {
						wantEqual(t, g.Group, []int{g.Members, g.Online}, []int{len(ids), len(ids)})
					}
				}
				return out, next, err
			},
		}
		for name, walk := range walks {
			for _, limit := range []int{1, 7, 50, len(ids), 0} {
				var got []string
				cursor, pages := "", 0
				for {
					page, next, err := walk(cursor, limit)
					must(t, err)
					if limit > 0 && len(page) > limit {
						t.Fatalf("%s: a page of %d, the limit is %d", name, len(page), limit)
					}
					got = append(got, page...)
					if pages++; next == "" || pages > 1000 {
						break
					}
					cursor = next
				}
				slices.Sort(got)
				if want := len(ids); len(got) != want || len(slices.Compact(got)) != want {
					t.Fatalf("%s by %d: %d items in %d pages", name, limit, len(got), pages)
				}
			}
		}
	})
}

func TestBadCursors(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for _, c := range []string{"%", "x", "OTk6YQ" /* 99:a */, "LTE6YQ" /* -1:a */, "YTph" /* a:a */} {
		if _, _, err := s.OnlineClients(ctxb, c, 1); err == nil {
			t.Errorf("accepted %q", c)
		}
		if _, _, err := s.Members(ctxb, "g", c, 1); err == nil {
			t.Errorf("accepted %q", c)
		}
	}
	for _, c := range []string{"5", "x-1", "5--3", "+5-3", "5-9223372036854775807", "9223372036854775807-5"} {
		if _, err := s.Dead(ctxb, c, 1); !errors.Is(err, ErrBadCursor) {
			t.Errorf("dead letters behind %q: %v", c, err)
		}
		if _, ok, err := s.DeadByID(ctxb, c); ok || err != nil {
			t.Errorf("dead letter %q: %v", c, err)
		}
		if ok, err := s.RemoveDead(ctxb, c); ok || err != nil {
			t.Errorf("removed dead letter %q: %v", c, err)
		}
	}
}
