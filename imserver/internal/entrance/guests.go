package entrance

import (
	"container/list"
	"net"
	"sync"
)

// maxSilent is how many connections may be silent at a time: their requests have not come yet. What comes in after is no
// worse than what came before, but a client that means it sends its request within a round trip, and one that only
// holds connections does not: so the oldest has to go. As many as a listener's queue usually holds.
const maxSilent = 4096

// guests are the connections that no handler has taken over.
type guests struct {
	mu     sync.Mutex
	here   map[net.Conn]*list.Element // its element of silent; nil when its request has come
	silent list.List                  // of net.Conn, oldest first
	most   int                        // maxSilent, fewer in tests
	closed bool
}

func newGuests() *guests {
	return &guests{here: make(map[net.Conn]*list.Element), most: maxSilent}
}

// enter notes a connection until leave, and closes the one that has been silent for longest when there are too many.
// It is false after close.
func (g *guests) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	if g.silent.Len() == g.most {
		oldest := g.silent.Front()
		_ = oldest.Value.(net.Conn).Close() // its worker finds out, and lets it leave
		g.spoke(oldest.Value.(net.Conn))
	}
	g.here[c] = g.silent.PushBack(c)
	return true
}

// speak notes that a connection's request has come.
func (g *guests) speak(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spoke(c)
}

// spoke is speak for who has the lock.
func (g *guests) spoke(c net.Conn) {
	if e := g.here[c]; e != nil {
		g.silent.Remove(e)
		g.here[c] = nil
	}
}

func (g *guests) leave(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spoke(c)
	delete(g.here, c)
}

// close cuts all of them off, and lets nobody in any more.
func (g *guests) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.here {
		_ = c.Close() // whoever reads it finds out
	}
}
