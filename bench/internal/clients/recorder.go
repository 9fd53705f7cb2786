package clients

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// What precedes the number of the round, and the time of sending, in a message's data.
var (
	roundMark = []byte(`"round":`)
	timeMark  = []byte(`"at":`)
	toMark    = []byte(`"to":`) // the number of the client that a message is for
)

// Times are Unix nanoseconds, which have as many digits as noTime until the year 2286.
const (
	noTime     = 1_000_000_000_000_000_000
	timeDigits = 19
)

// Data returns the data of a round's message without a time: JSON of exactly size bytes, 60 or more.
func Data(round, size int) []byte {
	b := fmt.Appendf(nil, `{"round":%d,"at":%d,"text":"`, round, noTime)
	if pad := size - len(b) - 2; pad > 0 {
		b = append(b, bytes.Repeat([]byte{'x'}, pad)...)
	}
	return append(b, `"}`...)
}

// DirectData returns the data of a message for one client, by its number, without a time: JSON of exactly size bytes, 60 or
// more.
func DirectData(to, size int) []byte {
	b := fmt.Appendf(nil, `{"to":%d,"at":%d,"text":"`, to, noTime)
	if pad := size - len(b) - 2; pad > 0 {
		b = append(b, bytes.Repeat([]byte{'x'}, pad)...)
	}
	return append(b, `"}`...)
}

// WithRound returns a frame that holds another round's message.
func WithRound(frame []byte, round int) []byte {
	was := fmt.Appendf(nil, "%s%d,", roundMark, roundOf(frame))
	return bytes.Replace(frame, was, fmt.Appendf(nil, "%s%d,", roundMark, round), 1)
}

// Stamp writes the time of sending into something that holds Data, in place. Clients then measure how long it took.
func Stamp(b []byte, at time.Time) {
	i := bytes.Index(b, timeMark)
	if i < 0 || len(b) < i+len(timeMark)+timeDigits {
		return
	}
	strconv.AppendInt(b[i+len(timeMark):i+len(timeMark)], at.UnixNano(), 10)
}

// StampAll is Stamp for something that holds Data several times.
func StampAll(b []byte, at time.Time) {
	for {
		i := bytes.Index(b, timeMark)
		if i < 0 {
			return
		}
		Stamp(b[i:], at)
		b = b[i+len(timeMark):]
	}
}

// roundOf finds the round in a frame; -1 when there is none.
func roundOf(payload []byte) int { return int(numberAfter(payload, roundMark)) }

// timeOf finds the time in a frame, in Unix nanoseconds; -1 when there is none.
func timeOf(payload []byte) int64 {
	if at := numberAfter(payload, timeMark); at != noTime {
		return at
	}
	return -1
}

// numberAfter finds a mark and reads the number behind it; -1 when there is none.
func numberAfter(payload, mark []byte) int64 {
	i := bytes.Index(payload, mark)
	if i < 0 {
		return -1
	}
	n, digits := int64(0), 0
	for _, c := range payload[i+len(mark):] {
		if c < '0' || c > '9' {
			break
		}
		n, digits = n*10+int64(c-'0'), digits+1
	}
	if digits == 0 {
		return -1
	}
	return n
}

// Round is what one round's message did.
type Round struct {
	Last  int64  // Unix nanoseconds when the last client had it
	Frame []byte // a payload as it arrived
}

// recorder notes when each client gets the message of the round that is awaited.
type recorder struct {
	total atomic.Int64 // messages of any kind
	stray atomic.Int64 // messages for another client

	mu    sync.Mutex
	each  []int64          // messages of each client
	took  *measure.Latency // messages that hold a time
	round int              // awaited; -1: none
	want  int
	have  int
	last  int64 // Unix nanoseconds
	frame []byte
	done  chan struct{} // closed when all have it
}

func newRecorder() *recorder { return &recorder{round: -1, took: measure.NewLatency()} }

// takeLatency returns how long messages took since the last call, as measure.Latency writes it.
func (r *recorder) takeLatency() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := r.took.MarshalBinary()
	r.took.Reset()
	return b, err
}

// expect makes room for clients, each of which has got nothing yet.
func (r *recorder) expect(clients int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each = make([]int64, clients)
}

// counts returns how many messages each client has got.
func (r *recorder) counts() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.each)
}

// arm prepares for a round.
func (r *recorder) arm(round, want int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.want, r.done = round, want, make(chan struct{})
	r.have, r.last, r.frame = 0, 0, nil
}

func (r *recorder) message(c *conn, payload []byte, now time.Time) {
	r.total.Add(1)
	round, at := roundOf(payload), timeOf(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(c.index) < len(r.each) {
		r.each[c.index]++
	}
	if at > 0 {
		r.took.Record(time.Duration(now.UnixNano() - at))
	}
	if round < 0 {
		if to := numberAfter(payload, toMark); to >= 0 && to != int64(c.number) {
			r.stray.Add(1)
		}
		return
	}
	if round != r.round || int(c.round) == round {
		return
	}
	c.round = int32(round) // twice does not count twice
	if r.frame == nil {
		r.frame = bytes.Clone(payload)
	}
	r.have, r.last = r.have+1, max(r.last, now.UnixNano())
	if r.have == r.want {
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
	if r.have < r.want {
		return Round{}, fmt.Errorf("round %d: %d of %d clients have the message after %v", r.round, r.have, r.want, limit)
	}
	return Round{Last: r.last, Frame: r.frame}, nil
}
