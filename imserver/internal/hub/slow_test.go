package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// heavy is a message that fills buffers.
func heavy(id string) *protocol.Envelope {
	return &protocol.Envelope{ID: id, Time: 1, Data: []byte(`"` + strings.Repeat("x", 2000) + `"`)}
}

func TestASlowClientCatchesUp(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}, "chess"), true)
	k.send(`{"type":"start"}`)
	eventually(t, "the start", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	fast := r.connect("bob", true, "chess")
	const messages = 600
	var want []string
	for i := range messages {
		id := fmt.Sprint("m", i)
		want = append(want, id)
		r.publish(ann, heavy(id))
		r.publish(chess, heavy(id))
		r.publish(all, heavy(id))
		if i%100 == 0 {
			if q := k.conn.sock.Queued(); q > testCap {
				t.Fatalf("%d bytes are kept for the slow client", q)
			}
		}
	}
	fast.expect("group:chess", want...)
	eventually(t, "falling behind", func() bool { return r.hub.Counters().Behind.Load() > 0 })
	k.read()
	for i := range 200 { // while it catches up
		id := fmt.Sprint("more", i)
		want = append(want, id)
		r.publish(ann, heavy(id))
		r.publish(chess, heavy(id))
		r.publish(all, heavy(id))
	}
	for _, stream := range []string{"inbox", "group:chess", "all"} {
		k.expect(stream, want...)
	}
	if n := r.hub.Counters().Gaps.Load(); n > 0 {
		t.Errorf("%d gaps were told", n)
	}
	r.publish(ann, message("live"))
	k.expect("inbox", append(want, "live")...)
}

// The edge between falling behind and having caught up, many times.
func TestNowAndThenSlow(t *testing.T) {
	r := newRig(t)
	const clients, messages = 5, 1500
	var ks []*client
	for i := range clients {
		ks = append(ks, r.connect(fmt.Sprint("client", i), true, "chess"))
	}
	var want []string
	for i := range messages {
		id := fmt.Sprint("m", i)
		want = append(want, id)
		r.publish(chess, heavy(id))
	}
	for _, k := range ks {
		k.expect("group:chess", want...)
	}
	if r.hub.Counters().Behind.Load() == 0 {
		t.Log("nobody fell behind: the test was too gentle")
	}
}

// A gap for which there is no room must not be forgotten.
func TestAGapForASlowClient(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), true)
	k.send(`{"type":"start"}`)
	eventually(t, "the start", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	for i := range 500 {
		r.publish(ann, heavy(fmt.Sprint("m", i)))
	}
	eventually(t, "falling behind", func() bool { return r.hub.Counters().Behind.Load() > 0 })
	r.log.lose(ann, 400)
	r.publish(ann, message("after"))
	k.read()
	k.wait("the message after the loss", func([]got) bool {
		ids := k.ids("inbox")
		return len(ids) > 0 && ids[len(ids)-1] == "after"
	})
	ids := k.ids("inbox")
	if gap := ids[len(ids)-2]; !strings.HasPrefix(gap, "gap 10-") || !strings.HasSuffix(gap, " 11-1") {
		t.Errorf("before the message comes %q, want a gap", gap)
	}
}

// When the log has lost what a follower is behind for, it is told and asks no more.
func TestBehindALostEnd(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), true)
	k.send(`{"type":"start"}`)
	eventually(t, "the start", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	for i := range 500 {
		r.publish(ann, heavy(fmt.Sprint("m", i)))
	}
	eventually(t, "falling behind", func() bool { return r.hub.Counters().Behind.Load() > 0 })
	eventually(t, "all messages are handed out", func() bool {
		sh := r.hub.shard(ann)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return sh.topics[ann].tail == protocol.Position{Epoch: 10, Seq: 500} && len(sh.run) == 0
	})
	r.log.lose(ann, 100)
	k.read()
	k.wait("the gap", func([]got) bool {
		ids := k.ids("inbox")
		return len(ids) > 0 && strings.HasPrefix(ids[len(ids)-1], "gap 10-") && strings.HasSuffix(ids[len(ids)-1], "10-501")
	})
	eventually(t, "nothing is being read", func() bool { return r.hub.Stats().CatchingUp == 0 && k.conn.catching.Load() == idle })
	r.publish(ann, message("after"))
	k.wait("the message after the loss", func([]got) bool {
		ids := k.ids("inbox")
		return ids[len(ids)-1] == "after" && ids[len(ids)-2] == "gap 10-500 11-1"
	})
}

func TestASlowRawClientIsEnded(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), false)
	for i := range 1000 {
		r.publish(ann, heavy(fmt.Sprint("m", i)))
	}
	eventually(t, "the end", func() bool { return k.conn.sock.EndedFor(time.UnixMilli(k.conn.Since).Add(patience)) > 0 })
	k.read()
	k.expectClose(4001)
	r.expectReason("slow", protocol.ReasonTooSlow)
	for i, g := range k.frames() {
		if len(g.Raw) != 2002 {
			t.Fatalf("frame %d: %.20q", i, g.Raw)
		}
	}
}

// A frame that a client's idea of its streams depends on is not dropped silently.
func TestNoRoomForJoined(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "slow"}), true)
	k.send(`{"type":"start"}`)
	eventually(t, "the start", func() bool { k.conn.mu.Lock(); defer k.conn.mu.Unlock(); return k.conn.started })
	for i := range 500 {
		r.publish(ann, heavy(fmt.Sprint("m", i)))
	}
	eventually(t, "falling behind", func() bool { return r.hub.Counters().Behind.Load() > 0 })
	for i := range 1000 { // more than what fits beside the messages
		group := protocol.GroupOf(fmt.Sprint("group", i))
		r.hub.Hold(group)
		r.hub.Settle(group, at(10, 0))
		r.hub.Join(k.conn, group, protocol.Position{})
		r.hub.Release(group)
	}
	k.read()
	k.expectClose(4003)
}

func TestBatchesShrinkToWhatTheSocketTakes(t *testing.T) {
	entries := make([]Entry, 20)
	for i := range entries {
		entries[i].Pos = at(10, uint64(i+1))
	}
	c := &Conn{}
	for _, step := range []struct {
		last uint64 // sent up to here
		ok   bool
		want int // the next batch
	}{
		{6, false, 6}, {6, true, 12}, {12, true, 24}, {20, true, 48}, {20, true, 50}, {0, false, 1}, {1, true, 2},
	} {
		c.adapt(connBatch-int(c.spared), entries, at(10, step.last), step.ok)
		if got := connBatch - int(c.spared); got != step.want {
			t.Fatalf("after %+v the batch is %d", step, got)
		}
	}
}
