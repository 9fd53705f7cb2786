package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

func at(epoch, seq uint64) protocol.Position { return protocol.Position{Epoch: epoch, Seq: seq} }

func TestWhereAStartBegins(t *testing.T) {
	cursor := func(stream string, p protocol.Position) map[string]protocol.Position {
		return map[string]protocol.Position{stream: p}
	}
	// Each stream holds m0…m4 at 10-1…10-5.
	tests := []struct {
		name   string
		stream protocol.Stream
		before func(r *rig) // what happens to the log before the client comes
		info   Info
		start  string // its position, "" when absent
		pos    string // told by started
		proven bool
		want   []string // messages, then "live"
	}{
		{"inbox at the tail", ann, nil, Info{}, "10-5", "10-5", true, nil},
		{"inbox at an older message", ann, nil, Info{}, "10-2", "10-2", true, numbers("m", 2, 5)},
		{"inbox from the beginning", ann, nil, Info{}, "0-0", "0-0", true, numbers("m", 0, 5)},
		{
			"inbox trimmed", ann, func(r *rig) { r.log.streams[ann] = r.log.streams[ann][3:] }, Info{},
			"10-1", "10-1", false, append([]string{"gap 10-1 10-4"}, numbers("m", 3, 5)...),
		},
		{
			"inbox trimmed up to the position", ann, func(r *rig) { r.log.streams[ann] = r.log.streams[ann][3:] }, Info{},
			"10-3", "10-3", true, numbers("m", 3, 5),
		},
		{"inbox ahead of the log", ann, nil, Info{}, "10-9", "10-5", false, nil},
		{"inbox in an epoch to come", ann, nil, Info{}, "77-1", "10-5", false, nil},
		{
			"inbox at the tail, in an earlier life", ann, func(r *rig) { r.log.fence = 11 }, Info{},
			"10-5", "10-5", false, []string{"gap 10-5 11-1"},
		},
		{
			"inbox across a fence", ann, func(r *rig) { r.log.fence = 11; r.logged(ann, "new") }, Info{},
			"10-5", "10-5", false, []string{"gap 10-5 11-1", "new"},
		},
		{
			"inbox with its end lost", ann, func(r *rig) { r.log.streams[ann] = r.log.streams[ann][:3]; r.log.fence = 11 }, Info{},
			"10-5", "10-3", false, []string{"gap 10-3 11-1"},
		},
		{
			"inbox expired", ann, func(r *rig) { r.log.streams[ann] = nil; r.log.fence = 11 }, Info{},
			"10-2", "10-2", false, []string{"gap 10-2 11-0"},
		},
		{
			"inbox empty, and in an earlier life too", ann, func(r *rig) { r.log.streams[ann] = nil; r.log.fence = 11 }, Info{},
			"10-0", "11-0", false, nil,
		},
		{"inbox absent, the device's cursor", ann, nil, Info{Admission: &Admission{Cursors: cursor("inbox", at(10, 3))}}, "", "10-3", true, numbers("m", 3, 5)},
		{
			"inbox absent, the cursor trimmed", ann, func(r *rig) { r.log.streams[ann] = r.log.streams[ann][3:] },
			Info{Admission: &Admission{Cursors: cursor("inbox", at(10, 1))}}, "", "10-1", false, []string{"gap 10-1 10-4", "m3", "m4"},
		},
		{"inbox absent, another device's", ann, nil, Info{Admission: &Admission{Acked: at(10, 4)}}, "", "10-4", true, numbers("m", 4, 5)},
		{"inbox absent, nothing acknowledged", ann, nil, Info{}, "", "0-0", true, numbers("m", 0, 5)},
		{
			"inbox absent, the oldest retained", ann, func(r *rig) { r.log.streams[ann] = r.log.streams[ann][3:] }, Info{},
			"", "0-0", true, numbers("m", 3, 5),
		},
		{"a position beats the cursor", ann, nil, Info{Admission: &Admission{Cursors: cursor("inbox", at(10, 1))}}, "10-4", "10-4", true, numbers("m", 4, 5)},
		{"group absent: now", chess, nil, Info{}, "", "10-5", true, nil},
		{
			"group absent, the cursor", chess, nil,
			Info{Admission: &Admission{Cursors: cursor("group:chess", at(10, 2)), Joined: cursor("group:chess", at(10, 1))}}, "", "10-2", true, numbers("m", 2, 5),
		},
		{
			"group since it was joined", chess, nil, Info{Admission: &Admission{Joined: cursor("group:chess", at(10, 1))}},
			"10-3", "10-3", true, numbers("m", 3, 5),
		},
		{
			"group before it was joined", chess, nil, Info{Admission: &Admission{Joined: cursor("group:chess", at(10, 4))}},
			"10-1", "10-4", false, numbers("m", 4, 5),
		},
		{
			"group from the beginning", chess, nil, Info{Admission: &Admission{Joined: cursor("group:chess", at(10, 4))}},
			"0-0", "10-4", true, numbers("m", 4, 5),
		},
		{
			"group joined before its stream expired", chess, func(r *rig) { r.log.streams[chess] = nil },
			Info{Admission: &Admission{Joined: cursor("group:chess", at(10, 4))}}, "10-0", "10-0", true, nil,
		},
		{"all absent: now", all, nil, Info{}, "", "10-5", true, nil},
		{"all at an older message", all, nil, Info{}, "10-4", "10-4", true, numbers("m", 4, 5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			for _, id := range numbers("m", 0, 5) {
				if a := r.log.add(tt.stream, message(id)); tt.stream == all {
					r.deliver(a)
				}
			}
			eventually(t, "the node has seen the broadcasts", func() bool {
				s := r.hub.shard(all)
				s.mu.Lock()
				defer s.mu.Unlock()
				return tt.stream != all || s.topics[all].tail.Seq == 5
			})
			if tt.before != nil {
				r.log.set(func() { tt.before(r) })
			}
			info := tt.info
			info.ClientID, info.ID = "ann", "c"
			k := r.dial(r.admit(info, "chess"), true).read()
			name := tt.stream.String()
			if tt.start == "" {
				k.send(`{"type":"start"}`)
			} else {
				k.send(fmt.Sprintf(`{"type":"start","pos":{%q:%q,"group:strangers":"0-0"}}`, name, tt.start))
			}
			k.wait("started", func(all []got) bool { return len(all) > 1 })
			started := k.frames()[1]
			if started.Type != "started" || started.Pos[name] != tt.pos || started.Recovered[name] != tt.proven {
				t.Errorf("started %s, want %s %v", started.Raw, tt.pos, tt.proven)
			}
			if len(started.Pos) != 3 || len(started.Recovered) != 3 {
				t.Errorf("%s does not name the three streams that are followed", started.Raw)
			}
			r.publish(tt.stream, message("live"))
			k.expect(name, append(tt.want, "live")...)
		})
	}
}

// logged appends without taking the log's lock, which the caller has.
func (r *rig) logged(st protocol.Stream, id string) {
	m, err := NewMessage(message(id).Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	r.log.streams[st] = append(r.log.streams[st], Entry{at(r.log.fence, 1), m})
}

// What comes between the registration and the start is not lost.
// Who leaves and joins between its registration and its start is not given what was said between.
func TestLeftAndJoinedBeforeTheStart(t *testing.T) {
	r := newRig(t)
	for _, id := range numbers("m", 0, 5) {
		r.publish(chess, message(id))
	}
	member := &Admission{Joined: map[string]protocol.Position{"group:chess": at(10, 1)}}
	c := r.admit(Info{ClientID: "ann", ID: "c", Admission: member}, "chess")
	k := r.dial(c, true).read()
	leave := r.hub.Leaving("ann", "chess", r.tail(chess))
	r.hub.Depart(t.Context(), leave)
	r.publish(chess, message("between"))
	r.hub.Hold(chess)
	r.hub.Settle(chess, r.tail(chess))
	r.hub.Join(c, chess, r.tail(chess))
	r.hub.Release(chess)
	k.send(`{"type":"start","pos":{"group:chess":"10-5"}}`)
	k.wait("started", func(all []got) bool { return len(all) >= 2 && all[1].Type == "started" })
	if started := k.frames()[1]; started.Recovered["group:chess"] {
		t.Errorf("nothing is said to be missing: %s", started.Raw)
	}
	r.publish(chess, message("mine"))
	k.expect("group:chess", "mine")
}

func TestMessagesBeforeTheStart(t *testing.T) {
	r := newRig(t)
	for _, v1 := range []bool{true, false} {
		id := fmt.Sprint("client", v1)
		inbox := protocol.InboxOf(id)
		c := r.admit(Info{ClientID: id, ID: id}, "chess")
		r.publish(inbox, message("a"))
		r.publish(chess, message(id))
		k := r.dial(c, v1).read()
		r.publish(inbox, message("b"))
		if !v1 {
			k.wait("three messages", func(all []got) bool { return len(all) == 3 })
			continue
		}
		k.send(`{"type":"start"}`)
		k.expect("inbox", "a", "b")
		k.expect("group:chess", id)
	}
}

// Who has read started is given what comes from then on, ephemeral messages too, which are in no log.
func TestNothingPassesBetweenStartedAndLive(t *testing.T) {
	var r *rig
	var busy []*shard
	acked := make(chan struct{})
	r = newRig(t, func(o *Options) {
		o.Acked = func(*Conn, map[protocol.Stream]protocol.Position) { // begin is about to tell it
			for _, st := range []protocol.Stream{ann, chess, all} {
				if s := r.hub.shard(st); !slices.Contains(busy, s) {
					s.mu.Lock() // as if it were fanning out
					busy = append(busy, s)
				}
			}
			close(acked)
		}
	})
	r.publish(ann, message("a"))
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c"}, "chess"), true).read()
	k.send(`{"type":"start","pos":{"inbox":"10-1"}}`)
	<-acked
	for len(busy) > 0 {
		<-time.After(20 * time.Millisecond)
		if n := len(k.frames()); n != 1 {
			t.Errorf("%d frames while %d shards are fanning out, want only hello", n, len(busy))
		}
		busy[0].mu.Unlock()
		busy = busy[1:]
	}
	k.wait("started", func(all []got) bool { return len(all) == 2 && all[1].Type == "started" })
}

// The same for a raw client, which takes the answer to its handshake for the beginning.
func TestNothingPassesBetweenTheAnswerAndLive(t *testing.T) {
	r := newRig(t)
	c := r.admit(Info{ClientID: "ann", ID: "raw"})
	s := r.hub.shard(ann)
	s.mu.Lock() // as if it were fanning out
	dialed := make(chan *client, 1)
	go func() { dialed <- r.dial(c, false) }()
	select {
	case <-dialed:
		t.Error("the handshake is answered while the inbox's messages pass the connection by")
	case <-time.After(50 * time.Millisecond):
	}
	s.mu.Unlock()
	k := (<-dialed).read()
	m, err := NewMessage(message("typing").Encode())
	if err != nil {
		t.Fatal(err)
	}
	r.deliver(arrival{stream: ann, msg: m})
	k.expect("", `"typing"`)
}

func TestAStartSurvivesAnOutage(t *testing.T) {
	r := newRig(t)
	r.drop(ann, "z")
	r.drop(ann, "a")
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c"}), true).read()
	r.log.set(func() { r.log.fail = errAway })
	k.send(`{"type":"start","pos":{"inbox":"10-1"}}`)
	k.send(`{"type":"ping"}`)
	k.wait("pong", func(all []got) bool { return len(all) == 2 && all[1].Type == "pong" })
	r.log.set(func() { r.log.fail = nil })
	k.expect("inbox", "a")
}

func TestJoinedBeforeTheStartIsToldByStarted(t *testing.T) {
	r := newRig(t)
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c"}), true).read()
	r.hub.Hold(chess)
	r.hub.Settle(chess, at(10, 0))
	r.hub.Join(k.conn, chess, at(10, 0))
	r.hub.Release(chess)
	k.send(`{"type":"start","pos":{"group:chess":"0-0"}}`)
	k.wait("started", func(all []got) bool { return len(all) == 2 })
	if f := k.frames()[1]; f.Pos["group:chess"] != "10-0" || !f.Recovered["group:chess"] {
		t.Errorf("started %s", f.Raw)
	}
}

// A group in which nothing was sent since Redis lost its data has an end and no message: who joins it with its history
// misses nothing.
func TestTheHistoryOfAnEmptyGroupIsNoGap(t *testing.T) {
	r := newRig(t)
	k := r.connect("c", true)
	r.hub.Hold(chess)
	r.hub.Settle(chess, at(10, 0))
	if !r.hub.JoinWithHistory(k.conn, chess, nil) {
		t.Fatal("not joined")
	}
	r.hub.Release(chess)
	k.wait("joined", func(all []got) bool { return all[len(all)-1].Type == "joined" })
	eventually(t, "it is live", func() bool {
		s := r.hub.shard(chess)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.topics[chess].members[0].mode == live
	})
	r.publish(chess, message("a"))
	k.expect("group:chess", "a")
	for _, f := range k.frames() {
		if f.Type == "gap" {
			t.Errorf("told %s", f.Raw)
		}
	}
}

// Redis has lived again while a stream was empty. Who followed it before is told that something may be missing, once and
// before the next message; who comes afterwards has missed nothing.
func TestAnEmptyStreamInALaterLife(t *testing.T) {
	notice := map[string]func(t *testing.T, r *rig){
		"compared after an interruption": func(t *testing.T, r *rig) {
			r.verify()
		},
		"another client comes back": func(t *testing.T, r *rig) {
			back := r.dial(r.admit(Info{ClientID: "back", ID: "back"}, "chess"), true).read()
			back.send(`{"type":"start","pos":{"all":"10-0","group:chess":"10-0"}}`)
			back.wait("started", func(all []got) bool { return len(all) > 1 })
			for _, st := range []string{"all", "group:chess"} {
				if f := back.frames()[1]; f.Pos[st] != "12-0" || f.Recovered[st] {
					t.Errorf("started %s, want %s in doubt and at 12-0", f.Raw, st)
				}
			}
		},
	}
	for name, noticed := range notice {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			before := r.connect("before", true, "chess")
			r.log.set(func() { r.log.fence = 12 })
			noticed(t, r)

			after := r.connect("after", true, "chess")
			if f := after.frames()[1]; f.Pos["all"] != "12-0" || f.Pos["group:chess"] != "12-0" {
				t.Errorf("started %s, want both at 12-0", f.Raw)
			}
			again := r.dial(r.admit(Info{ClientID: "after", ID: "again"}, "chess"), true).read()
			again.send(`{"type":"start","pos":{"all":"12-0","group:chess":"12-0"}}`)
			again.wait("started", func(all []got) bool { return len(all) > 1 })
			if f := again.frames()[1]; !f.Recovered["all"] || !f.Recovered["group:chess"] {
				t.Errorf("started %s: nothing was missed", f.Raw)
			}
			for _, st := range []protocol.Stream{all, chess} {
				r.publish(st, message("a"))
				r.publish(st, message("b"))
				before.expect(st.String(), "gap 10-0 12-1", "a", "b")
				after.expect(st.String(), "a", "b")
				again.expect(st.String(), "a", "b")
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	start := `{"type":"start"}`
	tests := []struct {
		name string
		sent []string
		code int
	}{
		{"second start", []string{start, start}, 4503},
		{"no JSON", []string{"hello"}, 4503},
		{"no type", []string{`{}`}, 4503},
		{"bad position", []string{`{"type":"start","pos":{"inbox":"x"}}`}, 4503},
		{"bad stream", []string{`{"type":"start","pos":{"nonsense":"1-1"}}`}, 4503},
		{"bad acknowledgement", []string{start, `{"type":"ack","pos":{"inbox":"1"}}`}, 4503},
		{"too much", []string{strings.Repeat("x", 1)}, 4503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			k := r.dial(r.admit(Info{ClientID: "ann", ID: "c"}), true).read()
			for _, text := range tt.sent {
				k.send(text)
			}
			k.expectClose(tt.code)
			r.expectReason("c", protocol.ReasonMisuse)
		})
	}
}

func TestUnknownFramesAreIgnored(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	k.send(`{"type":"from the future","x":[1]}`)
	k.send(`{"type":"ping","more":true}`)
	k.wait("pong", func(all []got) bool { return all[len(all)-1].Type == "pong" })
}

func TestNoStart(t *testing.T) {
	r := newRig(t, func(o *Options) { o.StartTimeout = 10 * time.Millisecond })
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "late"}), true).read()
	raw := r.dial(r.admit(Info{ClientID: "ann", ID: "raw"}), false).read()
	k.expectClose(4003)
	r.publish(ann, message("a"))
	raw.expect("", `"a"`) // has nothing to start
}

// What proves that nothing is missing is what the client is given first: one reading of the log answers a start.
func TestAStartReadsTheLogOnce(t *testing.T) {
	r := newRig(t)
	for _, st := range []protocol.Stream{ann, chess} {
		for _, id := range numbers("m", 0, 5) {
			r.log.add(st, message(id))
		}
	}
	member := &Admission{Joined: map[string]protocol.Position{"group:chess": at(9, 1)}}
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c", Admission: member}, "chess"), true).read()
	k.send(`{"type":"start","pos":{"inbox":"10-2","group:chess":"10-0","all":"10-0"}}`)
	k.expect("inbox", numbers("m", 2, 5)...)
	k.expect("group:chess", numbers("m", 0, 5)...)
	r.log.set(func() {
		if r.log.asked != 1 {
			t.Errorf("the log was asked %d times", r.log.asked)
		}
	})
	r.publish(ann, message("live"))
	k.expect("inbox", append(numbers("m", 2, 5), "live")...)
}

// More is missed than is read with the answer.
func TestAStartFarBehind(t *testing.T) {
	r := newRig(t)
	groups := []string{"chess", "go", "shogi"}
	member := &Admission{Joined: map[string]protocol.Position{}}
	for _, g := range groups {
		member.Joined["group:"+g] = at(9, 1)
		for _, id := range numbers("m", 0, 2*connBatch) {
			r.log.add(protocol.GroupOf(g), message(id))
		}
	}
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c", Admission: member}, groups...), true).read()
	k.send(`{"type":"start","pos":{"group:chess":"10-1","group:go":"10-0","group:shogi":"10-99"}}`)
	k.expect("group:chess", numbers("m", 1, 2*connBatch)...)
	k.expect("group:go", numbers("m", 0, 2*connBatch)...)
	k.expect("group:shogi", "m99")
}

// A message that arrives after the log was read, and before what was read is given, is not in it and not lost.
func TestAMessageDuringAStartIsNoGap(t *testing.T) {
	r := newRig(t)
	for _, id := range numbers("m", 0, 3) {
		r.log.add(ann, message(id))
	}
	k := r.dial(r.admit(Info{ClientID: "ann", ID: "c"}), true).read()
	once := sync.OnceFunc(func() {
		pos := r.publish(ann, message("new"))
		eventually(t, "the message has arrived", func() bool {
			s := r.hub.shard(ann)
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.topics[ann].head == pos
		})
	})
	r.log.set(func() { r.log.read = once })
	k.send(`{"type":"start","pos":{"inbox":"10-1"}}`)
	k.expect("inbox", "m1", "m2", "new")
}

func TestAJoinWithHistoryDuringAStart(t *testing.T) {
	r := newRig(t)
	r.publish(chess, message("old1"))
	r.publish(chess, message("old2"))
	r.publish(ann, message("a"))
	c := r.admit(Info{ClientID: "ann", ID: "x"})
	var once sync.Once
	r.log.set(func() {
		r.log.read = func() { // the start reads the log: as bus.join does on a J push with history
			once.Do(func() {
				r.hub.Hold(chess)
				tail := r.tail(chess)
				r.hub.Settle(chess, tail)
				r.hub.JoinWithHistory(c, chess, &tail)
				r.hub.Release(chess)
			})
		}
	})
	k := r.dial(c, true).read()
	k.send(`{"type":"start","pos":{"inbox":"10-0"}}`)
	k.expect("inbox", "a")
	k.wait("started", func(fs []got) bool { return len(fs) > 1 })
	for _, f := range k.frames() {
		t.Log(f.Type, f.Raw)
	}
	k.expect("group:chess", "old1", "old2")
}
