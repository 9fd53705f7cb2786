package clients

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// roundMark precedes the number of the round in a message's data.
var roundMark = []byte(`"round":`)

// Data returns the data of a round's message: JSON of exactly size bytes.
func Data(round, size int) []byte {
	b := fmt.Appendf(nil, `{"round":%d,"text":"`, round)
	if pad := size - len(b) - 2; pad > 0 {
		b = append(b, bytes.Repeat([]byte{'x'}, pad)...)
	}
	return append(b, `"}`...)
}

// roundOf finds the round in a frame; -1 when there is none.
func roundOf(payload []byte) int {
	i := bytes.Index(payload, roundMark)
	if i < 0 {
		return -1
	}
	n, digits := 0, 0
	for _, c := range payload[i+len(roundMark):] {
		if c < '0' || c > '9' {
			break
		}
		n, digits = n*10+int(c-'0'), digits+1
	}
	if digits == 0 {
		return -1
	}
	return n
}

// Round is what one round's message did.
type Round struct {
	Median int64  // Unix nanoseconds when half of the clients had it
	Last   int64  // when the last one had it
	Frame  []byte // a payload as it arrived
}

// recorder notes when each client gets the message of the round that is awaited.
type recorder struct {
	total atomic.Int64 // messages of any kind

	mu    sync.Mutex
	round int // awaited; -1: none
	want  int
	at    []int64 // Unix nanoseconds
	frame []byte
	done  chan struct{} // closed when all have it
}

func newRecorder() *recorder { return &recorder{round: -1} }

// arm prepares for a round.
func (r *recorder) arm(round, want int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.want, r.done = round, want, make(chan struct{})
	r.at, r.frame = make([]int64, 0, want), nil
}

func (r *recorder) message(c *conn, payload []byte, now time.Time) {
	r.total.Add(1)
	round := roundOf(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	if round < 0 || round != r.round || c.round == round {
		return
	}
	c.round = round // twice does not count twice
	if r.frame == nil {
		r.frame = bytes.Clone(payload)
	}
	r.at = append(r.at, now.UnixNano())
	if len(r.at) == r.want {
		close(r.done)
	}
}

// await returns the armed round when all clients have its message.
func (r *recorder) await(limit time.Duration) (Round, error) {
	r.mu.Lock()
	done := r.done
	r.mu.Unlock()
	if done == nil {
		return Round{}, errors.New("no round is armed")
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) < r.want {
		return Round{}, fmt.Errorf("round %d: %d of %d clients have the message after %v", r.round, len(r.at), r.want, limit)
	}
	return Round{Median: measure.Median(r.at), Last: measure.Quantile(r.at, 1), Frame: r.frame}, nil
}
