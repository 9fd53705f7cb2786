package store

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/prelude_receipts.lua
var receiptsText string

var receiptsLua = fmt.Sprintf("local AWAIT_SLACK = %d\n", awaitSlack.Milliseconds()) + receiptsText

//go:embed lua/awaited.lua
var awaitedLua string

var awaitedScript = newScript("awaited", preludeLua+receiptsLua+awaitedLua)

// Await asks to keep track of what becomes of a message at each receiver. The envelope's Receipt is the level: a
// message whose receipt is delivered is done with when it is, one whose receipt is read when it was read. Its TTL is
// when an undelivered one is reported expired. What happens is told by receipt events, by receipts in the inbox of the
// envelope's sender, if it has one, and on WaiterChannel of Waiter, if that is given.
type Await struct {
	Waiter string // empty: nobody waits
	Quiet  bool   // tell nobody but Waiter
}

const (
	kindAwaited = "r" // the kind of publish.lua for an inbox with receipts

	// maxAwaited is how many messages of one receiver somebody may wait for; beyond it the oldest are forgotten.
	maxAwaited = 10_000
	// answerTTL is how long the outcome is kept for a waiter, and for a send that may be repeated.
	answerTTL = protocol.IdempotencyWindow
	// awaitSlack is how much longer than anything in them the keys of a client live: sweeping comes first.
	awaitSlack = 10 * time.Minute
	nobody     = "-"
)

// WaiterChannel is where what becomes of messages is told to a waiter: message id, receiver,
// position and state, in lines.
func (s *Store) WaiterChannel(waiter string) string { return s.keys.waiterPrefix() + waiter }

// appendAwait completes the call of publish.lua for a publication that is awaited.
func (s *Store) appendAwait(j *job, keys, args []string) ([]string, []string) {
	e, a := j.pub.Envelope, j.pub.Await
	keys = append(keys, s.keys.expiry(j.p))
	for _, i := range j.at {
		keys = append(keys, s.keys.await(j.pub.To[i]), s.keys.due(j.pub.To[i]))
	}
	level, flags, waiter, look := "d", "", a.Waiter, s.opts.HistoryTTL
	if e.Receipt == protocol.ReceiptRead {
		level = "r"
	}
	if a.Quiet {
		level = "q"
	}
	if e.TTL > 0 && !a.Quiet {
		flags, look = "t", time.Duration(e.TTL)*time.Second
	}
	if j.pub.Idempotent {
		flags += "k"
	}
	if flags == "" {
		flags = "-"
	}
	if waiter == "" {
		waiter = nobody
	}
	life := max(look, s.opts.HistoryTTL, answerTTL) + awaitSlack
	return keys, append(args, e.ID, level, flags, waiter, e.From, millis(look), millis(life), strconv.Itoa(maxAwaited))
}

// Awaited reads what became of a message at its receivers, as their receipts name them: a State, empty while
// nothing has happened or when nothing is known. A waiter that is given is told what happens from now on.
func (s *Store) Awaited(ctx context.Context, id string, receipts []Receipt, waiter string) ([]string, error) {
	var calls []call
	var at [][]int
	for _, places := range byPartition(s, receipts, func(r Receipt) string { return r.Addr }) {
		c := call{args: []string{id, waiter}}
		for _, i := range places {
			c.keys = append(c.keys, s.keys.await(receipts[i].Addr))
			c.args = append(c.args, receipts[i].Pos.String())
		}
		calls, at = append(calls, c), append(at, places)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	replies, err := s.runChunks(ctx, awaitedScript, calls, "look for receipts")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(receipts))
	for k, m := range replies {
		states, err := m.AsStrSlice()
		if err != nil {
			return nil, wrap("look for receipts", err)
		}
		for n, i := range at[k] {
			out[i] = stateOf[states[n]]
		}
	}
	return out, nil
}

// stateOf turns a line's state into the one that is told.
var stateOf = map[string]string{
	"d": protocol.StateDelivered, "r": protocol.StateRead, "e": protocol.StateExpired,
}
