package hub

import (
	"context"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// Drain ends every connection with close code 4000, evenly spread over the given time so that the clients do
// not come back all at once, and waits until all are gone. When ctx ends first the rest is cut.
func (h *Hub) Drain(ctx context.Context, spread time.Duration) {
	h.mu.Lock()
	h.drained = true
	h.mu.Unlock()
	conns := h.Conns()
	begin := time.Now()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i, c := range conns {
		due := begin.Add(spread * time.Duration(i) / time.Duration(len(conns)))
		if wait := time.Until(due); wait > time.Millisecond {
			pause.Reset(wait)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		c.End(protocol.ReasonDraining)
	}

	h.mu.Lock()
	h.checkEmpty()
	h.mu.Unlock()
	select {
	case <-h.empty:
		return
	case <-ctx.Done():
	}
	for _, c := range h.Conns() {
		if c.ready.Load() {
			c.sock.Kill()
		}
	}
	<-h.empty
}

// checkEmpty tells Drain that the last connection is gone. The caller holds mu.
func (h *Hub) checkEmpty() {
	if h.drained && len(h.conns) == 0 && h.ending == 0 {
		select {
		case <-h.empty:
		default:
			close(h.empty)
		}
	}
}
