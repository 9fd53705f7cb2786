package rig

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
)

// dialers is how many connections of a crowd are made at once.
const dialers = 16

// Crowd is many raw connections that are read and otherwise left alone.
type Crowd struct {
	r  *Rig
	wg sync.WaitGroup // readers

	mu    sync.Mutex
	conns map[string]crowded // by client
}

type crowded struct {
	conn *client.Conn
	addr string // of the node
}

// Crowd connects n clients named prefix-0 and so on.
func (r *Rig) Crowd(n int, prefix string) *Crowd {
	r.T.Helper()
	c := &Crowd{r: r, conns: make(map[string]crowded)}
	r.T.Cleanup(c.leave)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	begin := time.Now()
	c.Connect(ids...)
	r.T.Logf("%d clients connected in %v", n, time.Since(begin).Round(time.Millisecond))
	return c
}

// Connect connects clients, each as often as it takes.
func (c *Crowd) Connect(ids ...string) {
	c.r.T.Helper()
	todo := make(chan string)
	var wg sync.WaitGroup
	for range min(dialers, len(ids)) {
		wg.Go(func() {
			for id := range todo {
				if err := c.connect(id); err != nil {
					c.r.T.Errorf("%s did not connect: %v", id, err)
				}
			}
		})
	}
	for _, id := range ids {
		todo <- id
	}
	close(todo)
	wg.Wait()
}

func (c *Crowd) connect(id string) error {
	ctx, cancel := context.WithTimeout(c.r.T.Context(), startTimeout)
	defer cancel()
	for {
		url, err := c.r.API.Connect(ctx, api.ConnectRequest{ClientID: id})
		var conn *client.Conn
		if err == nil {
			conn, err = client.Dial(ctx, url, client.Raw)
		}
		if err == nil {
			c.read(id, url, conn)
			return nil
		}
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
			return err
		}
	}
}

func (c *Crowd) read(id, url string, conn *client.Conn) {
	addr, _, _ := strings.Cut(strings.TrimPrefix(url, "ws://"), "/")
	c.mu.Lock()
	c.conns[id] = crowded{conn, addr}
	c.mu.Unlock()
	c.wg.Go(func() {
		defer conn.Cut()
		for {
			if _, err := conn.NextRaw(c.r.T.Context()); err != nil {
				return
			}
		}
	})
}

// On lists the clients of a node.
func (c *Crowd) On(n *Node) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, k := range c.conns {
		if k.addr == n.Addr {
			ids = append(ids, id)
		}
	}
	return ids
}

// Everybody says of each client that it is online.
func (c *Crowd) Everybody() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	truth := make(map[string]bool, len(c.conns))
	for id := range c.conns {
		truth[id] = true
	}
	return truth
}

func (c *Crowd) leave() {
	c.mu.Lock()
	for _, k := range c.conns {
		k.conn.Cut()
	}
	c.mu.Unlock()
	c.wg.Wait()
}
