package entrance

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxSilent is how many connections may be silent at a time: their requests have not come yet. What comes in after is no
// worse than what came before, but a client that means it sends its request within a round trip, and one that only
// holds connections does not: so the oldest has to go. As many as a listener's queue usually holds.
const maxSilent = 4096

// guest is a connection that no handler has taken over. Either a worker has it, or it is parked.
type guest struct {
	net.Conn
	server  *Server
	from    netip.AddrPort
	due     time.Time // when its request must have come
	fd      int       // its descriptor, as long as it is open
	watched bool      // the Parker may know it; its worker's

	// Guarded by guests.mu.
	place  *list.Element // in silent; nil when its request has come
	parked bool
	cut    bool // it is being closed: nobody takes it over any more
}

// Waits implements tcp.Waiter.
func (g *guest) Waits() bool {
	g.server.guests.mu.Lock()
	defer g.server.guests.mu.Unlock()
	return g.parked
}

// Ready implements tcp.Waiter: something has come.
func (g *guest) Ready() {
	if g.server.guests.wake(g) {
		g.server.hand(g)
	}
}

// guests are all of them. Connections are closed without the lock: closing takes the connection's, and who holds that may
// be waiting for this one.
type guests struct {
	served sync.WaitGroup // those that workers have

	mu     sync.Mutex
	here   map[*guest]bool
	silent list.List // of *guest, oldest first
	most   int       // maxSilent, fewer in tests
	files  int       // see Listen
	high   int       // how many of those who are here have a descriptor beyond: the kernel gives the lowest that is free
	ending bool      // nobody is let in any more, nor woken
}

func newGuests(files int) *guests {
	return &guests{here: make(map[*guest]bool), most: maxSilent, files: files}
}

// enter notes a guest that a worker is given, until leave. When too many are silent, or descriptors are about to run out, it
// closes the one that has been silent for longest. It is false when nobody is let in any more.
func (gs *guests) enter(g *guest) bool {
	gs.mu.Lock()
	if gs.ending {
		gs.mu.Unlock()
		return false
	}
	var oldest *guest
	if gs.beyond(g) {
		gs.high++
	}
	if n := gs.silent.Len(); n == gs.most || n > 0 && gs.high > 0 {
		oldest = gs.silent.Front().Value.(*guest)
		oldest.cut = true
		gs.spoke(oldest)
	}
	g.place = gs.silent.PushBack(g)
	gs.here[g] = true
	gs.served.Add(1)
	gs.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // a second close is harmless
		oldest.Ready()     // its worker lets it leave
	}
	return true
}

// park notes that a guest's worker leaves it to the Parker. It is false when nobody would be woken any more.
func (gs *guests) park(g *guest) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g.parked = !gs.ending
	return g.parked
}

// unpark takes back park. It is false when the guest has been woken meanwhile, and is another worker's.
func (gs *guests) unpark(g *guest) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	was := g.parked
	g.parked = false
	return was
}

// wake reports whether a guest was parked, and has to be given to a worker.
func (gs *guests) wake(g *guest) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if !g.parked || gs.ending {
		return false
	}
	g.parked = false
	gs.served.Add(1)
	return true
}

// late returns the parked guests whose requests should have come, for workers.
func (gs *guests) late(now time.Time) (late []*guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for e := gs.silent.Front(); e != nil && !gs.ending; e = e.Next() {
		g := e.Value.(*guest)
		if g.due.After(now) {
			break
		}
		if g.parked { // else its worker knows
			g.parked = false
			gs.served.Add(1)
			late = append(late, g)
		}
	}
	return late
}

// speak notes that a guest's request has come.
func (gs *guests) speak(g *guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.spoke(g)
}

// spoke is speak for who has the lock.
func (gs *guests) spoke(g *guest) {
	if g.place != nil {
		gs.silent.Remove(g.place)
		g.place = nil
	}
}

// take lets a guest leave with a handler that takes its connection over. It is false when that is being closed: its descriptor
// may be another connection's by now.
func (gs *guests) take(g *guest) bool {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g.cut {
		return false
	}
	gs.gone(g)
	return true
}

func (gs *guests) leave(g *guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.gone(g)
}

// gone forgets a guest. The caller has the lock.
func (gs *guests) gone(g *guest) {
	gs.spoke(g)
	if gs.here[g] && gs.beyond(g) {
		gs.high--
	}
	delete(gs.here, g)
}

func (gs *guests) beyond(g *guest) bool { return gs.files > 0 && g.fd >= gs.files }

// end lets nobody in any more, and cuts off those that have not begun to ask.
func (gs *guests) end() { gs.cut(func(g *guest) bool { return g.parked }) }

// close cuts off all of them, too.
func (gs *guests) close() { gs.cut(func(*guest) bool { return true }) }

func (gs *guests) cut(who func(*guest) bool) {
	gs.mu.Lock()
	gs.ending = true
	var cut []*guest
	for g := range gs.here {
		if who(g) {
			g.cut = true
			cut = append(cut, g)
		}
		if g.parked { // no worker lets it leave
			gs.gone(g)
		}
	}
	gs.mu.Unlock()
	for _, g := range cut {
		_ = g.Close() // whoever reads it finds out
	}
}
