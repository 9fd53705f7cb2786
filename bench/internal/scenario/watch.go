package scenario

import (
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// watchInterval is how often the machine's memory is looked at.
const watchInterval = 250 * time.Millisecond

// growth is how much more memory of each kind is in use than at the start, in bytes.
type growth struct {
	used        int64 // programs and kernel
	unavailable int64 // the same as the kernel's estimate, which takes what it holds for open sockets for available in part
	slab        int64 // of used: the kernel's objects
	sockets     int64 // of used: data that lies in TCP sockets
}

// watch looks at the machine's memory all the time.
type watch struct {
	start measure.System
	end   chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	last measure.System
	most growth // each at its own time
}

func startWatch() (*watch, error) {
	start, err := measure.ReadSystem()
	if err != nil {
		return nil, err
	}
	w := &watch{start: start, last: start, end: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *watch) run() {
	defer close(w.done)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.end:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *watch) look() {
	s, err := measure.ReadSystem()
	if err != nil {
		return // it worked at the start
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = s
	g := w.grown()
	w.most.used, w.most.unavailable = max(w.most.used, g.used), max(w.most.unavailable, g.unavailable)
	w.most.slab, w.most.sockets = max(w.most.slab, g.slab), max(w.most.sockets, g.sockets)
}

// grown compares with the start. The caller holds mu.
func (w *watch) grown() growth {
	return growth{
		used: w.last.Used - w.start.Used, unavailable: w.start.Available - w.last.Available,
		slab: w.last.Slab - w.start.Slab, sockets: w.last.Sockets - w.start.Sockets,
	}
}

// now looks and tells what has come since the start.
func (w *watch) now() growth {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown()
}

// highest tells the highest of each kind so far.
func (w *watch) highest() growth {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

func (w *watch) stop() {
	close(w.end)
	<-w.done
}
