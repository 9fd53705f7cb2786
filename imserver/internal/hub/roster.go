package hub

import (
	"math"
	"sync"
	"time"

	"github.com/imtier/imtier/imserver/internal/clock"
)

// roster lists all connections, and when the sweep has to look at each. These moments lie side by side: whoever is due is found
// without touching the others. A silent connection is in no cache, and on a virtual machine perhaps in no page table that is
// at hand: to touch one took some 20 µs there, see docs/decisions.md.
type roster struct {
	mu    sync.Mutex
	conns []*Conn
	due   []moment // of the connection in the same place
}

// moment is a time in seconds since the process began, see clock.
type moment uint32

const (
	nextRound moment = 0
	never     moment = math.MaxUint32
)

// momentOf is the first moment that is not before t.
func momentOf(t time.Time) moment { return moment((max(0, clock.Millis(t)) + 999) / 1000) }

// add lists a connection. It is due.
func (r *roster) add(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns, r.due = append(r.conns, c), append(r.due, nextRound)
	c.place = int32(len(r.conns))
}

// remove takes a connection off the list.
func (r *roster) remove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, last := c.place-1, len(r.conns)-1
	r.conns[i], r.due[i] = r.conns[last], r.due[last]
	r.conns[i].place = c.place
	r.conns[last] = nil
	r.conns, r.due = r.conns[:last], r.due[:last]
	c.place = 0
}

// take appends to to the connections that are due. They are not due again until put says when.
func (r *roster) take(to []*Conn, now time.Time) []*Conn {
	second := moment(clock.Millis(now) / 1000)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, due := range r.due {
		if due <= second {
			to = append(to, r.conns[i])
			r.due[i] = never
		}
	}
	return to
}

// put says when the sweep has to look at a connection, unless it has to before. It never blocks.
func (r *roster) put(c *Conn, due moment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place > 0 {
		r.due[c.place-1] = min(r.due[c.place-1], due)
	}
}

// call has the sweep look at a connection in its next round.
func (r *roster) call(c *Conn) { r.put(c, nextRound) }

// all returns the connections.
func (r *roster) all() []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Conn(nil), r.conns...)
}

func (r *roster) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}
