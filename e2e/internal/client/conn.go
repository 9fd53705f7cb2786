package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// Kind of connection.
type Kind int

const (
	V1  Kind = iota // speaks imtier.v1
	Raw             // gets the data of messages and nothing else
)

const (
	subprotocol = "imtier.v1"
	dialTimeout = 20 * time.Second // a node answers within 3 s whatever happens; the rest is a busy machine
	readLimit   = 4 << 20          // bytes of one frame
)

// Refused is an answer other than 101.
type Refused struct{ Status int }

func (r *Refused) Error() string { return fmt.Sprintf("refused: %d", r.Status) }

// Conn is one connection. One goroutine may read, one may write.
type Conn struct {
	ws *websocket.Conn
}

// Dial opens a URL as webapi gave it.
func Dial(ctx context.Context, url string, kind Kind) (*Conn, error) {
	return DialSlow(ctx, url, kind, 0)
}

// DialSlow is Dial with a receive buffer of so many bytes, 0 for the system's choice.
func DialSlow(ctx context.Context, url string, kind Kind, buffer int) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{Control: receiveBuffer(buffer)}
	// A transport each: nothing is shared between clients, and nothing is kept when the connection ends.
	t := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	o := &websocket.DialOptions{HTTPClient: &http.Client{Transport: t}}
	if kind == V1 {
		o.Subprotocols = []string{subprotocol}
	}
	ws, resp, err := websocket.Dial(ctx, url, o) //nolint:bodyclose // Dial closes it, says its documentation
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &Refused{resp.StatusCode}
		}
		return nil, fmt.Errorf("dial: %w", withoutURL(err))
	}
	ws.SetReadLimit(readLimit)
	return &Conn{ws}, nil
}

// withoutURL keeps the token out of what a test prints.
func withoutURL(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// receiveBuffer makes the kernel take less on behalf of a client that does not read.
func receiveBuffer(bytes int) func(string, string, syscall.RawConn) error {
	if bytes == 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
		})
		return errors.Join(err, inner)
	}
}

// Start asks for messages; pos is where each stream was left, nil to begin anew.
func (c *Conn) Start(ctx context.Context, pos map[string]string) error {
	return c.write(ctx, map[string]any{"type": "start", "pos": pos})
}

// Ack acknowledges everything up to pos.
func (c *Conn) Ack(ctx context.Context, pos map[string]string) error {
	return c.write(ctx, map[string]any{"type": "ack", "pos": pos})
}

// Read tells that messages were read.
func (c *Conn) Read(ctx context.Context, ids []string) error {
	return c.write(ctx, map[string]any{"type": "read", "ids": ids})
}

func (c *Conn) write(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageText, b)
}

// Next reads one frame of imtier.v1.
func (c *Conn) Next(ctx context.Context) (Frame, error) {
	var f Frame
	b, err := c.NextRaw(ctx)
	if err != nil {
		return f, err
	}
	err = json.Unmarshal(b, &f)
	return f, err
}

// NextRaw reads one message.
func (c *Conn) NextRaw(ctx context.Context) ([]byte, error) {
	_, b, err := c.ws.Read(ctx)
	return b, err
}

// Close ends the connection in order.
func (c *Conn) Close() { _ = c.ws.Close(websocket.StatusNormalClosure, "") }

// Cut ends the connection without a word.
func (c *Conn) Cut() { _ = c.ws.CloseNow() }

// CloseCode is the close code that ended a read, -1 when there was none.
func CloseCode(err error) int { return int(websocket.CloseStatus(err)) }
