package hub

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// offers answers every client with a place to go and notes who was told.
type offers struct {
	mu   sync.Mutex
	told []string
}

func (o *offers) offer(c *Conn, within time.Duration) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, c.ID)
	return protocol.MigrateFrame("ws://elsewhere/ws", within)
}

func isMigrate(g got) bool { return g.Type == "migrate" }

// Who can go elsewhere is told, and stays until it has gone or its time is over; the others are closed.
func TestDrainHandsOver(t *testing.T) {
	r := newRig(t)
	obeys, ignores := r.connect("obeys", true), r.connect("ignores", true)
	raw := r.connect("raw", false)
	unstarted := r.dial(r.admit(Info{ClientID: "unstarted", ID: "unstarted"}), true).read()
	var o offers
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	const within = 5 * time.Second // what is published meanwhile has to arrive, on a busy machine too
	begin := time.Now()
	wg.Go(func() { r.hub.Drain(ctx, Handover{Within: within, Offer: o.offer}) })
	raw.expectClose(4000)
	unstarted.expectClose(4000)
	for _, k := range []*client{obeys, ignores} {
		k.wait("migrate", func(all []got) bool { return slices.ContainsFunc(all, isMigrate) })
	}
	r.publish(protocol.InboxOf("ignores"), message("while it may stay"))
	ignores.expect("inbox", "while it may stay")
	obeys.ws.CloseNow()
	ignores.expectClose(4000)
	if took := time.Since(begin); took < within {
		t.Errorf("it was closed after %v, but had %v", took, within)
	}
	wg.Wait()
	r.expectReason(obeys.conn.ID, protocol.ReasonPeerGone)
	r.expectReason(ignores.conn.ID, protocol.ReasonDraining)
	if slices.Sort(o.told); len(o.told) != 2 {
		t.Errorf("told %v", o.told)
	}
}

// A drain is over as soon as everybody has gone.
func TestDrainEndsWithTheLastConnection(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	var o offers
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.hub.Drain(ctx, Handover{Within: time.Hour, Offer: o.offer})
	}()
	k.wait("migrate", func(all []got) bool { return slices.ContainsFunc(all, isMigrate) })
	k.ws.CloseNow()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it waits for somebody who has gone")
	}
}

func TestDrainWithNowhereToGo(t *testing.T) {
	r := newRig(t)
	k := r.connect("ann", true)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.hub.Drain(ctx, Handover{Within: time.Hour, Offer: func(*Conn, time.Duration) []byte { return nil }})
	k.expectClose(4000)
}

// One after the other, each in its share of the time.
func TestDrainSpreadsTheTelling(t *testing.T) {
	const clients, spread = 10, 300 * time.Millisecond
	d := drain{o: Handover{Spread: spread}, begin: time.Now(), conns: make([]*Conn, clients)}
	for i := range clients {
		at := d.due(i).Sub(d.begin)
		if lo := spread * time.Duration(i) / clients; at < lo || at > lo+spread/clients {
			t.Errorf("the turn of %d is after %v", i, at)
		}
	}
}
