package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

var (
	errLeft  = errors.New("a group was lost: connect again to be in it")
	errMoved = errors.New("the connection was handed over")
)

// choose picks how to come back.
func (c *Client) choose() ledger.Way {
	if c.first || c.rejoin || len(c.o.Ways) == 0 {
		return ledger.ByPositions
	}
	way := c.o.Ways[c.o.Rand.IntN(len(c.o.Ways))]
	if way == ledger.BySession && (c.token == "" || len(c.o.Nodes) == 0) {
		return ledger.ByPositions
	}
	return way
}

// dial opens a connection in one of the ways.
func (c *Client) dial(ctx context.Context, way ledger.Way, device string) (*Conn, error) {
	if way == ledger.BySession {
		url := "ws://" + c.o.Nodes[c.o.Rand.IntN(len(c.o.Nodes))] + "/ws?session=" + c.token
		c.token = "" // whatever becomes of it: the next attempt is another one
		return DialSlow(ctx, url, V1, c.o.Buffer)
	}
	url, err := c.o.API.Connect(ctx, api.ConnectRequest{ClientID: c.ID(), Device: device, Groups: c.o.Ledger.Groups})
	if err != nil {
		return nil, err
	}
	return DialSlow(ctx, url, V1, c.o.Buffer)
}

// session is one connection, from the URL to the end. It reports whether it got as far as started.
func (c *Client) session(ctx context.Context) (started bool, err error) {
	way, device := c.choose(), c.device
	if way == ledger.ByNothing {
		device = fmt.Sprintf("device-%x", rand.Uint32())
	}
	conn := c.moved
	if c.moved = nil; conn != nil {
		way, device = ledger.ByHandover, c.device
	} else if conn, err = c.dial(ctx, way, device); err != nil {
		return false, err
	}
	defer conn.Cut()
	s := &session{c: c, conn: conn, at: time.Now(), way: way, device: device}
	err = s.run(ctx)
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	c.rejoin = errors.Is(err, errLeft)
	if s.number > 0 {
		s.note(ledger.Entry{What: ledger.Closed, Code: max(0, CloseCode(err))})
	}
	if ctx.Err() != nil {
		conn.Close()
	}
	return s.started, err
}
