package clients

import (
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
)

// Role is the name of imbench's role as a fleet of clients.
const Role = "clients"

// Names of a fleet's operations.
const (
	opOpen  = "open"
	opStats = "stats"
	opArm   = "arm"
	opAwait = "await"
	opLeave = "leave"
	opTook  = "took"
	opStall = "stall"
	opCount = "count"

	opExpect = "expect"
	opGone   = "gone"
	opTrim   = "trim"
)

type armArgs struct{ Round, Want int }

type awaitArgs struct{ Limit time.Duration }

type stallArgs struct{ Count int }

// Work is a fleet that is driven through in and out; it returns when in ends.
func Work(in io.Reader, out io.Writer) error {
	f, err := NewFleet()
	if err != nil {
		return err
	}
	defer f.Close()
	return procs.Work(in, out, procs.Ops{
		opOpen: func(raw json.RawMessage) (any, error) {
			p, err := arguments[Plan](raw)
			if err != nil {
				return nil, err
			}
			return f.Open(p)
		},
		opLeave: func(json.RawMessage) (any, error) { return nil, f.Leave() },
		opTook:  func(json.RawMessage) (any, error) { return f.Latencies() },
		opCount: func(json.RawMessage) (any, error) { return f.rec.counts(), nil },
		opStall: func(raw json.RawMessage) (any, error) {
			a, err := arguments[stallArgs](raw)
			if err != nil {
				return nil, err
			}
			return nil, f.Stall(a.Count)
		},
		opExpect: func(json.RawMessage) (any, error) { f.Expect(); return nil, nil },
		opGone:   func(json.RawMessage) (any, error) { return nil, f.Gone() },
		opTrim:   func(json.RawMessage) (any, error) { debug.FreeOSMemory(); return nil, nil },
		opStats:  func(json.RawMessage) (any, error) { return f.Stats(), nil },
		opArm: func(raw json.RawMessage) (any, error) {
			a, err := arguments[armArgs](raw)
			f.rec.arm(a.Round, a.Want)
			return nil, err
		},
		opAwait: func(raw json.RawMessage) (any, error) {
			a, err := arguments[awaitArgs](raw)
			if err != nil {
				return nil, err
			}
			return f.rec.await(a.Limit)
		},
	})
}

// Remote is a fleet in a process of its own.
type Remote struct{ W *procs.Worker }

// Open opens the planned connections.
func (r Remote) Open(p Plan) (Opened, error) { return call[Opened](r, opOpen, p) }

// Leave closes all connections.
func (r Remote) Leave() error { return r.W.Call(opLeave, nil, nil) }

// Expect says that the server is about to break all connections.
func (r Remote) Expect() error { return r.W.Call(opExpect, nil, nil) }

// Gone returns when the server has broken all connections.
func (r Remote) Gone() error { return r.W.Call(opGone, nil, nil) }

// Trim gives memory back that opening connections has left behind.
func (r Remote) Trim() error { return r.W.Call(opTrim, nil, nil) }

// Stats asks what has happened so far.
func (r Remote) Stats() (Stats, error) { return call[Stats](r, opStats, nil) }

// Counts returns how many messages each client has got since Open.
func (r Remote) Counts() ([]int64, error) { return call[[]int64](r, opCount, nil) }

// Stall has n connections, evenly spread, stop to read for good.
func (r Remote) Stall(n int) error { return r.W.Call(opStall, stallArgs{n}, nil) }

// Took returns how long connecting, and messages that hold a time (see Stamp), took since the last call.
func (r Remote) Took() (connects, messages *measure.Latency, err error) {
	l, err := call[Latencies](r, opTook, nil)
	if err != nil {
		return nil, nil, err
	}
	connects, messages = measure.NewLatency(), measure.NewLatency()
	return connects, messages, errors.Join(connects.UnmarshalBinary(l.Connects), messages.UnmarshalBinary(l.Messages))
}

// Arm prepares for a round's message, which want clients will get.
func (r Remote) Arm(round, want int) error { return r.W.Call(opArm, armArgs{round, want}, nil) }

// Await returns the armed round when all clients have its message.
func (r Remote) Await(limit time.Duration) (Round, error) {
	return call[Round](r, opAwait, awaitArgs{limit})
}

func call[T any](r Remote, op string, args any) (result T, err error) {
	err = r.W.Call(op, args, &result)
	return result, err
}
