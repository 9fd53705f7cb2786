package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestPositionsAreConsecutiveFromOne(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		var last [3]protocol.Position
		for n := uint64(1); n <= 20; n++ {
			inbox := send(t, s, "alice", "x")
			group, err := s.PublishGroup(ctx, message("x"), "alice", false)
			if err != nil {
				t.Fatal(err)
			}
			all, err := s.PublishAll(ctx, message("x"), false)
			if err != nil {
				t.Fatal(err)
			}
			for i, pos := range []protocol.Position{inbox, group.Pos, all.Pos} {
				if pos.Seq != n || pos.Epoch == 0 || n > 1 && !last[i].Next(pos) {
					t.Fatalf("message %d of stream %d is at %v after %v", n, i, pos, last[i])
				}
				last[i] = pos
			}
		}
	})
}

func TestReceiptsAreInTheOrderOfReceivers(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		to := names("client-", 300)
		for range 3 {
			send(t, s, to[7], "before")
		}
		setOnline(t, s, to[5], to[250])
		rs, err := s.PublishInbox(context.Background(), message("m"), to, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rs {
			want := uint64(1)
			if i == 7 {
				want = 4
			}
			if r.Addr != to[i] || r.Pos.Seq != want || r.Online != (i == 5 || i == 250) || r.Duplicate {
				t.Fatalf("receipt %d is %+v", i, r)
			}
			if got := stored(t, s, protocol.InboxOf(to[i])); got[len(got)-1] != "m" {
				t.Fatalf("%s has %v", to[i], got)
			}
		}
	})
}

func TestNamesMayHoldAnything(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, name := range []string{
			"with space", `quo"te'`, "{brace}", "}{", "{", "im:{5}:epoch", "ünïcode ✓ 日本", `back\slash`, "%d%s", "a:b:c", "$1",
		} {
			first := send(t, s, name, "1")
			second := send(t, s, name, "2")
			if !first.Next(second) {
				t.Errorf("%q: %v then %v", name, first, second)
			}
			if got := stored(t, s, protocol.InboxOf(name)); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("%q has %v", name, got)
			}
		}
	})
}

// The hash tag is the first pair of braces; nothing that a user chooses may come before it.
func TestKeysBeginWithTheirPartitionsTag(t *testing.T) {
	k := newKeyspace(16)
	tags := protocol.Tags(16)
	for _, name := range []string{"a", "}", "{", "{x}", "}{x}"} {
		p := k.partition(name)
		for _, key := range []string{
			k.stream(protocol.InboxOf(name)), k.stream(protocol.GroupOf(name)), k.idem(protocol.InboxOf(name), "{f}", "{i}"),
			k.seen(name), k.conns(name), k.groups(name), k.cursor(name), k.jti(name, "{j}"), k.members(name),
			k.nodeConns(p, "{n}"), k.epoch(p), k.online(p), k.leaving(p), k.grouplist(p), k.unsynced(p), k.events(p),
		} {
			if want := "im:{" + tags[p] + "}:"; !strings.HasPrefix(key, want) {
				t.Errorf("%q does not begin with %q", key, want)
			}
		}
	}
}

func TestPushNamesEveryStream(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		var channels []string
		for p := range s.Partitions() {
			channels = append(channels, s.ClientChannel(p), s.GroupChannel(p))
		}
		h.subscribe(t, append(channels, s.AllChannel())...)

		to := names("c", 50)
		rs, err := s.PublishInbox(context.Background(), message("inbox"), to, false)
		if err != nil {
			t.Fatal(err)
		}
		group, err := s.PublishGroup(context.Background(), message("group"), "g", false)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.PublishAll(context.Background(), message("all"), false)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]protocol.Position{"group/g": group.Pos, "all/": all.Pos}
		for _, r := range rs {
			want["inbox/"+r.Addr] = r.Pos
		}
		got := map[string]protocol.Position{}
		eventually(t, "everything heard", func() bool {
			for _, m := range h.take() {
				push, err := protocol.DecodePush(m.payload)
				if err != nil {
					t.Fatalf("%q: %v", m.payload, err)
				}
				e, err := protocol.DecodeEnvelope(push.Envelope)
				if err != nil {
					t.Fatal(err)
				}
				if push.Kind != protocol.PushMessage || push.Fence == 0 {
					t.Fatalf("push %+v", push)
				}
				for _, target := range push.Targets {
					key := e.ID + "/" + target.Addr
					if _, twice := got[key]; twice {
						t.Fatalf("%s was announced twice", key)
					}
					got[key] = target.Pos
				}
			}
			return len(got) >= len(want)
		})
		for key, pos := range want {
			if got[key] != pos {
				t.Errorf("%s: heard %v, receipt says %v", key, got[key], pos)
			}
		}
	})
}

func TestSameIDIsSentOnce(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		h := hear(t, s)
		h.subscribe(t, s.ClientChannel(s.Partition("bob")))

		first, err := s.PublishInbox(ctx, message("id"), []string{"bob"}, true)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.PublishInbox(ctx, message("id"), []string{"bob"}, true)
		if err != nil {
			t.Fatal(err)
		}
		if first[0].Duplicate || !second[0].Duplicate || first[0].Pos != second[0].Pos {
			t.Fatalf("first %+v, second %+v", first[0], second[0])
		}
		// The id counts per sender, kind and address.
		other := message("id")
		other.From = "somebody else"
		if rs, err := s.PublishInbox(ctx, other, []string{"bob"}, true); err != nil || rs[0].Duplicate {
			t.Fatalf("other sender: %+v, %v", rs, err)
		}
		if r, err := s.PublishGroup(ctx, message("id"), "bob", true); err != nil || r.Duplicate {
			t.Fatalf("other kind: %+v, %v", r, err)
		}
		send(t, s, "bob", "end")
		h.waitFor(t, "end")
		if got := h.ids(); !slices.Equal(got, []string{"id", "id", "end"}) {
			t.Fatalf("heard %v, want the message of each sender once", got)
		}
	})
}

func TestRetryOfAMultipleSendCompletesIt(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		some, all := []string{"a", "c", "e"}, []string{"a", "b", "c", "d", "e"}
		before, err := s.PublishInbox(ctx, message("id"), some, true)
		if err != nil {
			t.Fatal(err)
		}
		rs, err := s.PublishInbox(ctx, message("id"), all, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rs {
			if r.Duplicate != slices.Contains(some, r.Addr) {
				t.Errorf("%s: duplicate is %v", r.Addr, r.Duplicate)
			}
			if r.Duplicate && r.Pos != before[i/2].Pos {
				t.Errorf("%s: first at %v, now %v", r.Addr, before[i/2].Pos, r.Pos)
			}
			if got := stored(t, s, protocol.InboxOf(r.Addr)); len(got) != 1 {
				t.Errorf("%s has %v", r.Addr, got)
			}
		}
	})
}

func TestBatchKeepsOrderAndSeparatesErrors(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	ctx := context.Background()
	// A key of another type makes the script fail for one group only.
	bad := s.keys.stream(protocol.GroupOf("bad"))
	if err := s.do(ctx, s.client.B().Set().Key(bad).Value("x").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	h := hear(t, s)
	h.subscribe(t, s.ClientChannel(s.Partition("bob")))
	var pubs []Publication
	var want []string
	for i := range 700 { // several pipelines
		id := fmt.Sprint(i)
		want = append(want, id)
		pubs = append(pubs, Publication{Envelope: message(id), Kind: protocol.Inbox, To: []string{"bob"}})
	}
	pubs[300] = Publication{Envelope: message("bad"), Kind: protocol.Group, To: []string{"bad"}}
	pubs[301] = Publication{Envelope: message("all"), Kind: protocol.All}
	pubs[302] = Publication{Envelope: message("nobody"), Kind: protocol.Inbox}
	want = slices.Delete(want, 300, 303)

	rs := s.PublishMany(ctx, pubs)
	for i, r := range rs {
		if (r.Err != nil) != (i == 300) {
			t.Fatalf("publication %d: %v", i, r.Err)
		}
	}
	if len(rs[302].Receipts) != 0 || rs[301].Receipts[0].Pos.Seq != 1 {
		t.Fatalf("got %+v and %+v", rs[302], rs[301])
	}
	if got := stored(t, s, protocol.InboxOf("bob")); !slices.Equal(got, want) {
		t.Fatalf("stored %v", got)
	}
	h.waitFor(t, "699")
	if got := h.ids(); !slices.Equal(got, want) {
		t.Fatalf("heard %v", got)
	}
}

// A "typing" that was sent before a message is not shown after it.
func TestBatchKeepsOrderOfEphemeralMessages(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	h := hear(t, s)
	h.subscribe(t, s.ClientChannel(s.Partition("bob")), s.GroupChannel(s.Partition("g")), s.AllChannel())
	pubs := make([]Publication, 300) // several pipelines
	sent, heard := make(map[protocol.Kind][]string), make(map[protocol.Kind][]string)
	kindOf := make(map[string]protocol.Kind)
	for i := range pubs {
		id := fmt.Sprint(i)
		pubs[i] = Publication{Envelope: message(id), Kind: protocol.Inbox, To: []string{"bob"}, Ephemeral: i%2 == 1}
		switch i % 3 {
		case 1:
			pubs[i].Kind, pubs[i].To = protocol.Group, []string{"g"}
		case 2:
			pubs[i].Kind, pubs[i].To = protocol.All, nil
		}
		kindOf[id] = pubs[i].Kind
		sent[pubs[i].Kind] = append(sent[pubs[i].Kind], id)
	}
	for i, r := range s.PublishMany(t.Context(), pubs) {
		if r.Err != nil {
			t.Fatalf("publication %d: %v", i, r.Err)
		}
	}
	eventually(t, "all of them", func() bool { return len(h.ids()) == len(pubs) })
	for _, id := range h.ids() {
		heard[kindOf[id]] = append(heard[kindOf[id]], id)
	}
	for kind := range sent {
		if !slices.Equal(heard[kind], sent[kind]) {
			t.Errorf("%c: heard %v", kind, heard[kind])
		}
	}
}

func TestEphemeralIsHeardAndNotStored(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		h.subscribe(t, s.ClientChannel(s.Partition("on")), s.GroupChannel(s.Partition("g")), s.AllChannel())
		setOnline(t, s, "on")
		streams := []protocol.Stream{
			protocol.InboxOf("on"), protocol.InboxOf("off"), protocol.GroupOf("g"), protocol.AllStream(),
		}
		rs, err := s.PublishEphemeral(context.Background(), message("e"), streams...)
		if err != nil {
			t.Fatal(err)
		}
		want := []Receipt{{Addr: "on", Online: true}, {Addr: "off"}, {Addr: "g"}, {}}
		if !slices.Equal(rs, want) {
			t.Fatalf("got %+v", rs)
		}
		eventually(t, "three pushes", func() bool { return len(h.ids()) >= 3 })
		for _, st := range streams {
			if got := stored(t, s, st); len(got) != 0 {
				t.Errorf("%v stored %v", st, got)
			}
		}
	})
}

func TestStreamsAreTrimmedAndExpire(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL(), HistorySize: 100, HistoryTTL: 40 * time.Second})
	var pubs []Publication
	for i := range 1000 {
		pubs = append(pubs, Publication{Envelope: message(fmt.Sprint(i)), Kind: protocol.Inbox, To: []string{"x"}})
	}
	for _, r := range s.PublishMany(context.Background(), pubs) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if n := len(stored(t, s, protocol.InboxOf("x"))); n < 100 || n > 300 {
		t.Errorf("%d messages are kept, want about 100", n)
	}
	key := s.keys.stream(protocol.InboxOf("x"))
	ms, err := s.do(context.Background(), s.client.B().Pttl().Key(key).Build()).AsInt64()
	if err != nil || ms <= 20_000 || ms > 40_000+40_000/renewals {
		t.Errorf("PTTL is %d, %v", ms, err)
	}
}

// A stream that expired and begins again must not repeat positions.
func TestRecreatedStreamHasANewEpoch(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		first := send(t, s, "x", "1")
		key := s.keys.stream(protocol.InboxOf("x"))
		eventually(t, "a later millisecond", func() bool { return uint64(time.Now().UnixMilli()) > first.Epoch })
		if err := s.do(context.Background(), s.client.B().Del().Key(key).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		if second := send(t, s, "x", "2"); second.Epoch <= first.Epoch || second.Seq != 1 {
			t.Fatalf("%v, then %v", first, second)
		}
	})
}

// Whatever is sent in whatever batches, each stream's positions are consecutive and paging returns all of them.
func TestRandomSendsReadBackCompletely(t *testing.T) {
	backends := map[string]Options{
		"redis":    {URL: redistest.Start(t).URL()},
		"embedded": {URL: redistest.Embedded(t), Embedded: true},
	}
	for name, o := range backends {
		t.Run(name, func(t *testing.T) {
			s := open(t, o)
			run := 0
			rapid.Check(t, func(rt *rapid.T) {
				run++
				randomSends(rt, s, fmt.Sprintf("run%d-", run))
			})
		})
	}
}

func randomSends(rt *rapid.T, s *Store, prefix string) {
	ctx := context.Background()
	want := map[protocol.Stream][]string{}
	id := 0
	for range rapid.IntRange(1, 5).Draw(rt, "batches") {
		var pubs []Publication
		for range rapid.IntRange(1, 20).Draw(rt, "sends") {
			id++
			pub := Publication{
				Envelope: message(fmt.Sprint(id)),
				Kind:     rapid.SampledFrom([]protocol.Kind{protocol.Inbox, protocol.Group}).Draw(rt, "kind"),
			}
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 4, rapid.ID).Draw(rt, "to") {
				addr := fmt.Sprint(prefix, n)
				pub.To = append(pub.To, addr)
				st := protocol.Stream{Kind: pub.Kind, Name: addr}
				want[st] = append(want[st], pub.Envelope.ID)
			}
			pubs = append(pubs, pub)
		}
		for _, r := range s.PublishMany(ctx, pubs) {
			if r.Err != nil {
				rt.Fatal(r.Err)
			}
		}
	}
	limit := rapid.IntRange(1, 10).Draw(rt, "page")
	for st, ids := range want {
		var pos protocol.Position
		var got []string
		for {
			page, err := s.After(ctx, st, pos, limit)
			if err != nil {
				rt.Fatal(err)
			}
			for _, e := range page {
				if !pos.Next(e.Pos) && (!pos.IsZero() || e.Pos.Seq != 1) {
					rt.Fatalf("%v: %v follows %v", st, e.Pos, pos)
				}
				pos = e.Pos
				m, err := protocol.DecodeEnvelope(e.Envelope)
				if err != nil {
					rt.Fatal(err)
				}
				got = append(got, m.ID)
			}
			if len(page) < limit {
				break
			}
		}
		if !slices.Equal(got, ids) {
			rt.Fatalf("%v holds %v, sent %v", st, got, ids)
		}
	}
}

// setOnline marks clients as online, as connecting does.
func setOnline(t testing.TB, s *Store, clients ...string) {
	t.Helper()
	for _, c := range clients {
		key := s.keys.online(s.Partition(c))
		cmd := s.client.B().Zadd().Key(key).ScoreMember().ScoreMember(0, c).Build()
		if err := s.do(context.Background(), cmd).Error(); err != nil {
			t.Fatal(err)
		}
	}
}
