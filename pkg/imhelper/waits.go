package imhelper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// listenTimeout bounds the time until Redis confirms that it tells us of receipts; below the 3 s of any call.
const listenTimeout = 2500 * time.Millisecond

// waits are the sends that wait for receipts. They share one subscription, which is made when the first of them needs
// it and kept until close:
//
//	begin    listens, under a name that goes with the message
//	Message  what acknowledges the message tells that name
//	wait     ends when all have; looks for itself when the subscription broke, and once more when the time is over
type waits struct {
	store *store.Store
	name  string // of this Helper among all who wait

	mu     sync.Mutex
	sub    *store.Subscriber // nil until needed
	stop   context.CancelFunc
	ended  chan struct{} // closed when the subscription has ended
	closed chan struct{} // closed by close
	of     map[string][]*wait
}

// wait is one send that waits. All but wake is guarded by waits.mu.
type wait struct {
	id    string
	level protocol.Receipt
	state map[place]State // of receivers that anything is known about
	doubt bool            // something may not have been heard
	wake  chan struct{}   // holds one element when there is something new
}

// place is a receiver and where the message is in its inbox: ids are the senders' own, and two may use the same.
type place struct{ clientID, pos string }

func placeOf(r store.Receipt) place { return place{r.Addr, r.Pos.String()} }

func newWaits(s *store.Store) *waits {
	return &waits{
		store: s, name: strings.ToLower(rand.Text()), ended: make(chan struct{}), closed: make(chan struct{}),
		of: make(map[string][]*wait),
	}
}

var errClosed = errors.New("the helper is closed")

// begin makes sure that receipts are heard and notes that one send waits. end must follow.
func (ws *waits) begin(ctx context.Context, id string, level protocol.Receipt) (*wait, error) {
	sub, err := ws.listen()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	if err := sub.Subscribe(ctx, ws.store.WaiterChannel(ws.name)); err != nil {
		return nil, err
	}
	w := &wait{id: id, level: level, state: make(map[place]State), wake: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.of[id] = append(ws.of[id], w)
	return w, nil
}

// listen starts the subscription if it is the first time.
func (ws *waits) listen() (*store.Subscriber, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	select {
	case <-ws.closed:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, errClosed)
	default:
	}
	if ws.sub == nil {
		ctx, stop := context.WithCancel(context.Background())
		sub := ws.store.NewSubscriber(ws)
		ws.sub, ws.stop = sub, stop
		go func() {
			defer close(ws.ended)
			_ = sub.Run(ctx) // until close
		}()
	}
	return ws.sub, nil
}

func (ws *waits) end(w *wait) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	rest := slices.DeleteFunc(ws.of[w.id], func(other *wait) bool { return other == w })
	if len(rest) == 0 {
		delete(ws.of, w.id)
	} else {
		ws.of[w.id] = rest
	}
}

// close ends the subscription and all that wait.
func (ws *waits) close() {
	ws.mu.Lock()
	select {
	case <-ws.closed:
	default:
		close(ws.closed)
	}
	running := ws.sub != nil
	ws.mu.Unlock()
	if running {
		ws.stop()
		<-ws.ended
	}
}

// wait returns the state of each receiver, in the order of receipts, when all have got as far as the sender wants to
// know, or after d.
func (ws *waits) wait(ctx context.Context, w *wait, receipts []store.Receipt, d time.Duration) ([]State, error) {
	if err := ws.lookAtRepeated(ctx, w, receipts); err != nil {
		return nil, err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		states, open, doubt := ws.states(w, receipts)
		if open == 0 {
			return states, nil
		}
		if doubt {
			if err := ws.look(ctx, w, receipts, ""); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-w.wake:
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		case <-ws.closed:
		}
		if err := ws.look(ctx, w, receipts, ""); err != nil {
			return nil, err
		}
		states, _, _ = ws.states(w, receipts)
		return states, nil
	}
}

// lookAtRepeated asks about receivers that had the message already: what they acknowledged was told to whoever sent it
// first.
func (ws *waits) lookAtRepeated(ctx context.Context, w *wait, receipts []store.Receipt) error {
	var repeated []store.Receipt
	for _, r := range receipts {
		if r.Duplicate {
			repeated = append(repeated, r)
		}
	}
	if len(repeated) == 0 {
		return nil
	}
	return ws.look(ctx, w, repeated, ws.name)
}

// look reads from Redis what is known.
func (ws *waits) look(ctx context.Context, w *wait, receipts []store.Receipt, waiter string) error {
	states, err := ws.store.Awaited(ctx, w.id, receipts, waiter)
	if err != nil {
		return err
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for i, r := range receipts {
		w.learn(placeOf(r), State(states[i]))
	}
	return nil
}

// states says what is known, how many receivers are still waited for, and whether something may not have been heard
// since the last call.
func (ws *waits) states(w *wait, receipts []store.Receipt) (states []State, open int, doubt bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	states = make([]State, len(receipts))
	for i, r := range receipts {
		states[i] = w.state[placeOf(r)]
		if states[i] == "" {
			states[i] = StateQueued
		}
		if states[i] == StateQueued || states[i] == StateDelivered && w.level == protocol.ReceiptRead {
			open++
		}
	}
	doubt, w.doubt = w.doubt, false
	return states, open, doubt
}

// learn takes a state; news may come late, or twice. The caller holds mu.
func (w *wait) learn(p place, s State) {
	if s == "" || s == StateDelivered && w.state[p] != "" {
		return
	}
	w.state[p] = s
	w.poke()
}

func (w *wait) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Message implements store.Receiver: message id, receiver, position and state, in lines.
func (ws *waits) Message(_ string, payload []byte) {
	parts := strings.Split(string(payload), "\n")
	if len(parts) != 4 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.of[parts[0]] {
		w.learn(place{parts[1], parts[2]}, State(parts[3]))
	}
}

// Lost implements store.Receiver.
func (ws *waits) Lost(error) { ws.question() }

// Restored implements store.Receiver.
func (ws *waits) Restored() { ws.question() }

// question makes all that wait look for themselves.
func (ws *waits) question() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, all := range ws.of {
		for _, w := range all {
			w.doubt = true
			w.poke()
		}
	}
}
