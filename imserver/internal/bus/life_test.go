package bus

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
)

// fence reads that of the broadcasts.
func (s *stand) fence(t *testing.T) uint64 {
	t.Helper()
	tails, err := s.store.Tails(t.Context(), []protocol.Stream{protocol.AllStream()})
	if err != nil {
		t.Fatal(err)
	}
	return tails[0].Fence
}

// asked is how often Redis was asked for the scripts of a life.
func (s *stand) asked(t *testing.T) int {
	t.Helper()
	_, rest, found := strings.Cut(s.redis.Do("INFO", "commandstats"), "cmdstat_script|exists:calls=")
	if !found {
		return 0
	}
	text, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nobody publishes, and to compare streams takes a while. The node finds out by itself that Redis has lived again, and what it
// tells of positions is right from then on.
func TestFencesAreRaisedAfterAnInterruption(t *testing.T) {
	s := newStand(t)
	s.streams = newComparison("streams", zap.NewNop(), func(ctx context.Context, _ func(error)) error { <-ctx.Done(); return ctx.Err() })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { _ = s.Run(ctx) })
	if err := s.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	before := s.fence(t)
	s.redis.Do("SCRIPT", "FLUSH")
	s.sub.Reset()
	eventually(t, "the fence is raised", func() bool { return s.fence(t) > before })
}

// A message may be all that a node has of a life that is over.
func TestFencesAreRaisedAboveThoseOfMessages(t *testing.T) {
	s := newStand(t)
	ahead := s.fence(t) + 1_000_000_000
	envelope := (&protocol.Envelope{ID: "m", Time: 1, Data: []byte("1")}).Encode()
	push := protocol.Push{
		Kind: protocol.PushMessage, Fence: ahead, Targets: []protocol.Target{{Pos: protocol.Position{Epoch: ahead, Seq: 1}}}, Envelope: envelope,
	}
	s.Message(s.store.AllChannel(), push.Encode())
	s.Lost(errors.New("cut"))
	s.Restored()
	if err := s.Sure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := s.fence(t); f <= ahead {
		t.Errorf("the fence is %d, want more than %d", f, ahead)
	}
}

func TestRedisIsAskedOncePerDoubt(t *testing.T) {
	s := newStand(t)
	n := s.asked(t)
	expect := func(what string, want int) {
		t.Helper()
		if err := s.Sure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := s.asked(t); now != n+want {
			t.Errorf("%s: asked %d times, want %d", what, now-n, want)
		}
		n = s.asked(t)
	}
	expect("nothing has happened", 0)
	s.Lost(errors.New("cut"))
	expect("interrupted", 1)
	expect("still interrupted, anything may have happened since", 1)
	s.Restored()
	expect("restored", 1)
	expect("restored and asked", 0)
}

// Those who ask while others do share the next answer; none takes one that was asked for before.
func TestManyAskOnce(t *testing.T) {
	s := newStand(t)
	s.Lost(errors.New("cut"))
	n := s.asked(t)
	s.life.turn.Lock() // as if one were asking
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.Sure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all wait", func() bool {
		stacks := make([]byte, 1<<20)
		n := 0
		for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(stack, "[sync.Mutex.Lock") && strings.Contains(stack, "(*Bus).Sure(") {
				n++
			}
		}
		return n == 20
	})
	s.life.turn.Unlock()
	wg.Wait()
	if now := s.asked(t); now-n != 1 {
		t.Errorf("asked %d times, want 1", now-n)
	}
}

// When Redis does not take a new fence it still says what it has, and that proves nothing.
func TestNothingIsProvenByFencesInDoubt(t *testing.T) {
	s := newStand(t)
	read := []hub.Read{{Stream: protocol.AllStream()}}
	for _, doubt := range []error{nil, errors.New("read only")} {
		l := StoredLog{Store: s.store, Sure: func(context.Context) error { return doubt }}
		found, err := l.Since(t.Context(), read)
		if err != nil || (found[0].Fence == math.MaxUint64) != (doubt != nil) {
			t.Errorf("%v: %+v, %v", doubt, found, err)
		}
	}
}
