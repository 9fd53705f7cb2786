package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// fences reads the fence of every partition.
func fences(t testing.TB, s *Store) []uint64 {
	t.Helper()
	var out []uint64
	for _, p := range s.keys.everywhere() {
		text, _ := s.do(context.Background(), s.client.B().Get().Key(s.keys.epoch(p)).Build()).ToString()
		out = append(out, parseFence(text))
	}
	return out
}

func flushScripts(t testing.TB, s *Store) {
	t.Helper()
	onServers(t, s, func(node rueidis.Client) rueidis.Completed { return node.B().ScriptFlush().Build() })
}

// onServers carries a command out on every server.
func onServers(t testing.TB, s *Store, command func(rueidis.Client) rueidis.Completed) {
	t.Helper()
	for _, node := range s.client.Nodes() {
		must(t, node.Do(ctxb, command(node)).Error())
	}
}

func TestFirstSendRaisesEveryFence(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		send(t, s, "x", "m")
		fs := fences(t, s)
		for _, f := range fs {
			if f == 0 || f != fs[0] {
				t.Fatalf("fences are %v", fs)
			}
		}
	})
}

func TestForgottenScriptBeginsAnEpoch(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		h := hear(t, s)
		h.subscribe(t, s.ClientChannel(s.Partition("x")))
		first := send(t, s, "x", "1")
		before := fences(t, s)
		flushScripts(t, s)
		second := send(t, s, "x", "2")
		third := send(t, s, "x", "3")
		if second.Epoch <= first.Epoch || second.Seq != 1 || !second.Next(third) {
			t.Fatalf("positions are %v, %v, %v", first, second, third)
		}
		for i, f := range fences(t, s) {
			if f <= before[i] {
				t.Fatalf("fence %d stayed at %d", i, f)
			}
		}
		h.waitFor(t, "3")
		if got := h.ids(); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Fatalf("heard %v", got)
		}
		tails, err := s.Tails(context.Background(), []protocol.Stream{protocol.InboxOf("x")})
		if err != nil || tails[0].Pos != third || tails[0].Fence != second.Epoch {
			t.Fatalf("tail %+v, %v", tails, err)
		}
	})
}

// Another process that knows the old fence only must follow, not append under it.
func TestOtherStoreFollowsTheFence(t *testing.T) {
	srv := redistest.Start(t)
	a, b := open(t, Options{URL: srv.URL()}), open(t, Options{URL: srv.URL()})
	one := send(t, a, "x", "1")
	two := send(t, b, "x", "2")
	if !one.Next(two) {
		t.Fatalf("%v then %v: the second store needed no new life", one, two)
	}
	flushScripts(t, a)
	three := send(t, a, "x", "3")
	four := send(t, b, "x", "4")
	if three.Epoch <= two.Epoch || !three.Next(four) {
		t.Fatalf("positions are %v, %v, %v", two, three, four)
	}
}

// A stream begins with the millisecond in which it is made. A life that begins in the same one must not continue it.
func TestFenceIsAboveWhatIsOfTheSameMillisecond(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	for i := range 30 {
		client := fmt.Sprint("x", i)
		first := send(t, s, client, "1")
		flushScripts(t, s)
		if second := send(t, s, client, "2"); second.Epoch <= first.Epoch {
			t.Fatalf("try %d: %v in one life, %v in the next", i, first, second)
		}
	}
}

// A server that still has the script in its cache although its data is of another life: it was master, became a
// replica while another took messages, and is master again.
func TestScriptOfAnOlderLifeIsRefused(t *testing.T) {
	t.Parallel()
	srvA, srvB := redistest.Start(t), redistest.Start(t)
	onA := open(t, Options{URL: srvA.URL()})
	one := send(t, onA, "x", "1")

	follow(t, srvB, srvA)
	srvB.Do("REPLICAOF", "NO", "ONE")
	onB := open(t, Options{URL: srvB.URL()})
	two := send(t, onB, "x", "2")
	if two.Epoch <= one.Epoch {
		t.Fatalf("the promoted replica continued: %v then %v", one, two)
	}

	follow(t, srvA, srvB)
	srvB.Do("REPLICAOF", "127.0.0.1", srvA.Port()) // detached in effect: what it takes from now on is lost
	srvA.Do("REPLICAOF", "NO", "ONE")
	three := send(t, onA, "x", "3")
	if three.Epoch <= two.Epoch {
		t.Fatalf("the server that came back continued: %v then %v", two, three)
	}
}

// follow makes a server a replica of another and waits until it has its data.
func follow(t testing.TB, replica, master *redistest.Server) {
	t.Helper()
	replica.Do("REPLICAOF", "127.0.0.1", master.Port())
	eventually(t, "replica in sync", func() bool {
		info := replica.Do("INFO", "replication")
		return infoField(info, "master_link_status") == "up" &&
			infoField(info, "slave_repl_offset") == infoField(master.Do("INFO", "replication"), "master_repl_offset")
	})
}

// The same before the server that comes back has copied anything: its fence and its script fit together, and both are of a
// life that is over.
func TestServerThatCopiedNothingIsNotBelieved(t *testing.T) {
	t.Parallel()
	srvA, srvB := redistest.Start(t), redistest.Start(t)
	way := redistest.NewSwitch(t, srvA)
	s := openHasty(t, Options{URL: way.URL()})
	send := func(id string) (pos protocol.Position) {
		eventually(t, "a send succeeds", func() bool {
			rs, err := s.PublishInbox(context.Background(), message(id), []string{"x"}, true)
			pos = rs[0].Pos
			return err == nil
		})
		return pos
	}
	one := send("1")
	follow(t, srvB, srvA)
	srvB.Do("REPLICAOF", "NO", "ONE")
	way.Turn(srvB)
	two := send("2")
	if two.Epoch <= one.Epoch {
		t.Fatalf("the promoted replica continued: %v then %v", one, two)
	}
	way.Turn(srvA)
	if three := send("3"); three.Epoch <= two.Epoch {
		t.Fatalf("%v after %v: who has the latter takes the former for known", three, two)
	}
}

// fallBack makes a life, sends in it, and gives Redis the fences of the one before, whose scripts it still knows.
func fallBack(t testing.TB, s *Store) (lost protocol.Position) {
	t.Helper()
	ctx := context.Background()
	send(t, s, "x", "before")
	old := fences(t, s)
	fence, err := s.agreeOnFence(ctx, old[len(old)-1])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.raiseFences(ctx, fence); err != nil {
		t.Fatal(err)
	}
	if lost = send(t, s, "x", "lost"); lost.Epoch != fence {
		t.Fatalf("sent at %v, want the fence %d", lost, fence)
	}
	for i, p := range s.keys.everywhere() {
		must(t, s.do(ctx, s.client.B().Set().Key(s.keys.epoch(p)).Value(formatFence(old[i])).Build()).Error())
	}
	return lost
}

func TestAFenceThatFellIsNotBelieved(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		lost := fallBack(t, s)
		if after := send(t, s, "x", "after"); after.Epoch <= lost.Epoch {
			t.Errorf("sent at %v after %v", after, lost)
		}
		for _, f := range fences(t, s) {
			if f <= lost.Epoch {
				t.Fatalf("fences are %v after %d", fences(t, s), lost.Epoch)
			}
		}
	})
}

// One partition's server may come back alone, in a Cluster.
func TestAPartitionsFenceThatFellIsRaised(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		lost := fallBack(t, s)
		low := s.Partition("x")
		for _, p := range s.keys.everywhere() {
			if p != low {
				must(t, s.do(ctx, s.client.B().Set().Key(s.keys.epoch(p)).Value(formatFence(lost.Epoch)).Build()).Error())
			}
		}
		if after := send(t, s, "x", "after"); after.Epoch < lost.Epoch {
			t.Errorf("sent at %v after %v", after, lost)
		}
	})
}

func TestRestartWithLostDataBeginsALargerEpoch(t *testing.T) {
	for name, opts := range map[string][]redistest.Option{
		"empty": nil,
		"aof":   {redistest.AOF()},
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t, opts...)
			s := openHasty(t, Options{URL: srv.URL()})
			var last protocol.Position
			for range 10 {
				last = send(t, s, "x", "m")
			}
			srv.Kill()
			_, err := s.PublishInbox(context.Background(), message("down"), []string{"x"}, false)
			wantUnavailable(t, err)
			srv.Restart()
			var pos protocol.Position
			eventually(t, "a send succeeds", func() bool {
				rs, err := s.PublishInbox(context.Background(), message("up"), []string{"x"}, true)
				pos = rs[0].Pos
				return err == nil
			})
			if pos.Epoch <= last.Epoch || pos.Seq != 1 {
				t.Fatalf("%v before the restart, %v after", last, pos)
			}
		})
	}
}

func TestFlushedDatabaseBeginsALargerEpoch(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		first := send(t, s, "x", "1")
		onServers(t, s, func(node rueidis.Client) rueidis.Completed { return node.B().Flushall().Build() })
		if second := send(t, s, "x", "2"); second.Epoch <= first.Epoch {
			t.Fatalf("%v, then %v", first, second)
		}
	})
}

func TestScriptFlushLoopFailsNoSend(t *testing.T) {
	srv := redistest.Start(t)
	stores := []*Store{open(t, Options{URL: srv.URL()}), open(t, Options{URL: srv.URL()}), open(t, Options{URL: srv.URL()})}
	ctx, cancel := context.WithCancel(context.Background())
	var flusher, senders sync.WaitGroup
	var sent atomic.Int32
	flusher.Go(func() {
		for ctx.Err() == nil {
			srv.Do("SCRIPT", "FLUSH")
			before := sent.Load()
			for pause(ctx, 20e6) && sent.Load() < before+6 { // a busy machine does not get far in between
			}
		}
	})
	const each = 150
	for i, s := range stores {
		for j := range 2 {
			senders.Go(func() {
				to := fmt.Sprintf("%d/%d", i, j)
				var last protocol.Position
				for n := range each {
					rs, err := s.PublishInbox(context.Background(), message(fmt.Sprint(n)), []string{to, "shared"}, false)
					if err != nil {
						t.Errorf("send %d of %s: %v", n, to, err)
						return
					}
					if !last.Less(rs[0].Pos) {
						t.Errorf("%v follows %v", rs[0].Pos, last)
					}
					last = rs[0].Pos
					sent.Add(1)
				}
			})
		}
	}
	senders.Wait()
	cancel()
	flusher.Wait()
	if got := stored(t, stores[0], protocol.InboxOf("0/0")); len(got) != each || got[0] != "0" || got[each-1] != fmt.Sprint(each-1) {
		t.Errorf("%d messages are stored: %v", len(got), got)
	}
	if got := stored(t, stores[0], protocol.InboxOf("shared")); len(got) != 6*each {
		t.Errorf("%d messages are in the shared inbox, want %d", len(got), 6*each)
	}
}

// Programs that are started together on a new Redis: who opened it first may have followers before the others are done,
// and to them a later fence would look like a loss.
func TestStoresThatOpenTogetherMakeOneFence(t *testing.T) {
	for name, url := range map[string]func() string{
		"redis":    func() string { return redistest.Start(t).URL() },
		"embedded": func() string { return redistest.Embedded(t) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				o := Options{URL: url(), Embedded: name == "embedded", Partitions: 16}
				ends := make([][]Tail, 8)
				streams := []protocol.Stream{protocol.AllStream(), protocol.InboxOf("x"), protocol.GroupOf("g")}
				var wg sync.WaitGroup
				for i := range ends {
					wg.Go(func() {
						s, err := tryOpen(o)
						if err != nil {
							t.Error(err)
							return
						}
						defer s.Close()
						if err := makePatient(s); err != nil {
							t.Error(err)
							return
						}
						if ends[i], err = s.Tails(context.Background(), streams); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for _, e := range ends {
					if !slices.Equal(e, ends[0]) {
						t.Fatalf("streams ended at %v for one, at %v for another", ends[0], e)
					}
				}
			}
		})
	}
}

// A process that died after it had raised some fences: the next one raises the others to the same.
func TestFencesThatAreHalfRaisedAreFinished(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		send(t, s, "x", "1")
		flushScripts(t, s)
		fence, err := s.agreeOnFence(ctx, fences(t, s)[0])
		if err != nil {
			t.Fatal(err)
		}
		if pos := send(t, s, "x", "2"); pos.Epoch != fence {
			t.Errorf("sent at %v, want the fence %d", pos, fence)
		}
		for _, f := range fences(t, s) {
			if f != fence {
				t.Fatalf("fences are %v, want %d", fences(t, s), fence)
			}
		}
		flushScripts(t, s) // a fence that all have is no reason to wait for anybody
		if pos := send(t, s, "x", "3"); pos.Epoch <= fence {
			t.Errorf("sent at %v after the fence %d", pos, fence)
		}
	})
}

// Whoever loses the race for a new life finds the winner's script loaded, and makes no other.
func TestRacingNewLives(t *testing.T) {
	srv := redistest.Start(t)
	var stores []*Store
	for range 8 {
		stores = append(stores, open(t, Options{URL: srv.URL()}))
	}
	for range 5 {
		srv.Do("SCRIPT", "FLUSH")
		var wg sync.WaitGroup
		for _, s := range stores {
			wg.Go(func() {
				if _, err := s.PublishGroup(context.Background(), message("m"), "g", false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	entries, err := stores[0].After(context.Background(), protocol.GroupOf("g"), protocol.Position{}, 100)
	if err != nil || len(entries) != 40 {
		t.Fatalf("%d messages are stored, want 40; %v", len(entries), err)
	}
	for i, e := range entries {
		if e.Pos.Seq != uint64(i%8+1) {
			t.Fatalf("message %d is at %v: more than one life began at once", i, e.Pos)
		}
	}
	for _, f := range fences(t, stores[0]) {
		if f != fences(t, stores[0])[0] {
			t.Fatalf("fences differ: %v", fences(t, stores[0]))
		}
	}
}

func TestReplicaRefusesAndNothingIsPublished(t *testing.T) {
	master, srv := redistest.Start(t), redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	h := hear(t, s)
	h.subscribe(t, s.ClientChannel(s.Partition("x")), s.AllChannel())
	send(t, s, "x", "1")
	send(t, open(t, Options{URL: master.URL()}), "x", "1") // so that the data agrees on being in use
	srv.Do("REPLICAOF", "127.0.0.1", master.Port())
	h.waitFor(t, "1")

	_, err := s.PublishInbox(context.Background(), message("2"), []string{"x"}, false)
	wantUnavailable(t, err)
	_, err = s.PublishAll(context.Background(), message("2"), true)
	wantUnavailable(t, err)
	srv.Do("REPLICAOF", "NO", "ONE")
	eventually(t, "writable", func() bool {
		_, err := s.PublishInbox(context.Background(), message("3"), []string{"x"}, true)
		return err == nil
	})
	h.waitFor(t, "3")
	if got := h.ids(); slices.Contains(got, "2") {
		t.Fatalf("heard %v", got)
	}
	if got := stored(t, s, protocol.InboxOf("x")); slices.Contains(got, "2") {
		t.Fatalf("stored %v", got)
	}
}

func TestFullMemoryRefusesAndNothingIsHalfDone(t *testing.T) {
	srv := redistest.Start(t, redistest.Args("--maxmemory-policy", "noeviction"))
	s := open(t, Options{URL: srv.URL()})
	h := hear(t, s)
	to := names("c", 40)
	for p := range s.Partitions() {
		h.subscribe(t, s.ClientChannel(p))
	}
	if _, err := s.PublishInbox(context.Background(), message("1"), to, true); err != nil {
		t.Fatal(err)
	}
	srv.Do("CONFIG", "SET", "maxmemory", "1")
	rs, err := s.PublishInbox(context.Background(), message("2"), to, true)
	wantUnavailable(t, err)
	if !strings.Contains(err.Error(), "OOM") {
		t.Errorf("the error hides the reason: %v", err)
	}
	for _, r := range rs {
		if !r.Pos.IsZero() || r.Addr == "" {
			t.Fatalf("receipt %+v", r)
		}
	}
	srv.Do("CONFIG", "SET", "maxmemory", "0")
	for _, addr := range to {
		if got := stored(t, s, protocol.InboxOf(addr)); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("%s has %v", addr, got)
		}
	}
	rs, err = s.PublishInbox(context.Background(), message("2"), to, true)
	if err != nil || rs[0].Duplicate {
		t.Fatalf("after: %+v, %v", rs[0], err)
	}
}
