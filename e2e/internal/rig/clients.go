package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

// The pauses between two attempts of a rig's clients: shorter than the protocol's, for there is little time.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 2 * time.Second
)

// startTimeout is how long a client may take from nothing to started, on a busy machine.
const startTimeout = 30 * time.Second

// Connect runs a client that belongs to groups until the test ends, and returns without waiting for it.
func (r *Rig) Connect(id string, groups ...string) *client.Client {
	return r.ConnectWith(client.Options{Ledger: ledger.NewClient(id, groups...)})
}

// ConnectWith is Connect with options; API and pauses are filled in.
func (r *Rig) ConnectWith(o client.Options) *client.Client {
	r.T.Helper()
	o.API, o.First, o.Last = r.API, firstPause, lastPause
	c := client.New(o)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(r.T.Context()); err != nil {
			r.T.Errorf("a client was sent away: %v", err)
		}
	})
	r.T.Cleanup(wg.Wait)
	return c
}

// ConnectMany runs clients named prefix-0 and so on, and waits until all have started.
func (r *Rig) ConnectMany(n int, prefix string, groups ...string) []*client.Client {
	r.T.Helper()
	all := make([]*client.Client, n)
	for i := range all {
		all[i] = r.Connect(fmt.Sprintf("%s-%d", prefix, i), groups...)
	}
	r.WaitStarted(all...)
	return all
}

// WaitStarted waits until clients are connected.
func (r *Rig) WaitStarted(clients ...*client.Client) {
	r.T.Helper()
	for _, c := range clients {
		Eventually(r.T, startTimeout, "client "+c.ID()+" started", c.Ledger().Connected)
	}
}

// Dial opens one connection of a client by hand and, of imtier.v1, starts it. It fails the test when that does not work.
func (r *Rig) Dial(id string, kind client.Kind, groups ...string) *client.Conn {
	r.T.Helper()
	return r.DialVia("", id, kind, groups...)
}

// DialVia is Dial to another address than the URL's, if it is not empty.
func (r *Rig) DialVia(addr, id string, kind client.Kind, groups ...string) *client.Conn {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), startTimeout)
	defer cancel()
	conn, err := r.open(ctx, api.ConnectRequest{ClientID: id, Groups: groups}, addr, kind)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(conn.Cut)
	if kind == client.Raw {
		return conn
	}
	if err := conn.Start(ctx, nil); err != nil {
		r.T.Fatal(err)
	}
	for f := (client.Frame{}); f.Type != "started"; {
		if f, err = conn.Next(ctx); err != nil {
			r.T.Fatal(err)
		}
	}
	return conn
}

// Has tells whether a client got the message with a key.
func Has(c *client.Client, key string) bool {
	for _, e := range c.Ledger().Entries() {
		if e.What == ledger.Message && e.Key == key {
			return true
		}
	}
	return false
}

// Count tells how often a client got the message with a key.
func Count(c *client.Client, key string) (n int) {
	for _, e := range c.Ledger().Entries() {
		if e.What == ledger.Message && e.Key == key {
			n++
		}
	}
	return n
}

// Data is what a rig's messages carry.
func Data(key string) map[string]string { return map[string]string{"key": key} }

// open connects with a fresh URL, to another address than the URL's if that is not empty. A program that lost sight of
// Redis for a moment, as on a busy machine, answers 503: then it tries again.
func (r *Rig) open(ctx context.Context, req api.ConnectRequest, addr string, kind client.Kind) (*client.Conn, error) {
	tick := time.NewTicker(firstPause)
	defer tick.Stop()
	for {
		url, err := r.API.Connect(ctx, req)
		if err == nil {
			if addr != "" {
				_, query, _ := strings.Cut(url, "?")
				url = "ws://" + addr + "/ws?" + query
			}
			var conn *client.Conn
			if conn, err = client.Dial(ctx, url, kind); err == nil {
				return conn, nil
			}
		}
		var problem *api.Problem
		var refused *client.Refused
		away := errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable ||
			errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable
		if !away {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}
