package store

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// dialPubSub opens a connection on which messages can be followed. It logs in; nothing is subscribed yet.
func (s *Store) dialPubSub(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := s.login(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s *Store) dial(ctx context.Context, addr string) (net.Conn, error) {
	dialer := s.conn.Dialer
	switch {
	case s.conn.DialCtxFn != nil: // a unix socket
		return s.conn.DialCtxFn(ctx, addr, &dialer, s.conn.TLSConfig)
	case s.conn.TLSConfig != nil:
		d := tls.Dialer{NetDialer: &dialer, Config: s.conn.TLSConfig}
		return d.DialContext(ctx, "tcp", addr)
	default:
		return dialer.DialContext(ctx, "tcp", addr)
	}
}

// login authenticates and names the connection. The answers are read here, so that what follows is pub/sub only.
func (s *Store) login(ctx context.Context, conn net.Conn) error {
	var out []byte
	answers := 1
	if s.conn.Username != "" {
		out = appendCommand(out, "AUTH", s.conn.Username, s.conn.Password)
		answers++
	} else if s.conn.Password != "" {
		out = appendCommand(out, "AUTH", s.conn.Password)
		answers++
	}
	out = appendCommand(out, "CLIENT", "SETNAME", s.conn.ClientName)
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.Write(out); err != nil {
		return err
	}
	// Unbuffered: a byte at a time, so that nothing is swallowed. It is two short lines.
	for range answers {
		line, err := readLine(conn)
		if err != nil {
			return err
		}
		if line != "+OK" {
			return fmt.Errorf("redis answered %q", line)
		}
	}
	if s.sentinel {
		if err := wantMaster(conn); err != nil {
			return err
		}
	}
	return conn.SetDeadline(time.Time{})
}

func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line[:max(len(line)-1, 0)]), nil
		}
		line = append(line, b[0])
	}
}

// appendCommand appends a command as an array of bulk strings.
func appendCommand(out []byte, args ...string) []byte {
	out = append(out, '*')
	out = strconv.AppendInt(out, int64(len(args)), 10)
	out = append(out, '\r', '\n')
	for _, a := range args {
		out = append(out, '$')
		out = strconv.AppendInt(out, int64(len(a)), 10)
		out = append(out, '\r', '\n')
		out = append(out, a...)
		out = append(out, '\r', '\n')
	}
	return out
}

type pubsubKind int

const (
	pubsubMessage pubsubKind = iota
	pubsubSubscribed
	pubsubUnsubscribed
	pubsubPong
	pubsubOther
)

// pubsubEvent is one thing that Redis says on a subscribed connection.
type pubsubEvent struct {
	kind    pubsubKind
	channel string
	payload []byte
}

// pubsubReader reads the subset of RESP2 that occurs on a subscribed connection.
type pubsubReader struct {
	r     *bufio.Reader
	names map[string]string // channel names, each allocated once
	line  []byte
}

// newPubSubReader reads a connection; pause, unless nil, is called before each read from it.
func newPubSubReader(conn net.Conn, pause func()) *pubsubReader {
	return &pubsubReader{
		r:     bufio.NewReaderSize(silenceGuard{conn, pause}, subReadBuffer),
		names: make(map[string]string),
	}
}

// silenceGuard fails a read for which Redis has been silent too long. It looks at the clock once per read from the
// socket, not once per message.
//
// A process that got no processor for a while finds both: its time is up, and bytes have come. Taking that for silence
// would cost a new subscription and a comparison of everything, on a machine that has too much to do already. So it
// looks once more.
type silenceGuard struct {
	net.Conn
	pause func() // before each read; nil: nothing
}

func (g silenceGuard) Read(p []byte) (n int, err error) {
	if g.pause != nil {
		g.pause()
	}
	for _, patience := range [...]time.Duration{subSilence, subLastLook} {
		if err := g.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return 0, err
		}
		if n, err = g.Conn.Read(p); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return n, err
}

var errPubSubProtocol = errors.New("unexpected answer on a pub/sub connection")

// maxBulk is the largest string Redis handles (proto-max-bulk-len), bytes.
const maxBulk = 512 << 20

func (r *pubsubReader) next() (pubsubEvent, error) {
	line, err := r.header()
	if err != nil {
		return pubsubEvent{}, err
	}
	switch line[0] {
	case '-':
		return pubsubEvent{}, fmt.Errorf("redis answered %q", line)
	case '+': // +PONG, as long as nothing is subscribed
		return pubsubEvent{kind: pubsubPong}, nil
	case '*':
	default:
		return pubsubEvent{}, errPubSubProtocol
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 2 || n > 4 {
		return pubsubEvent{}, errPubSubProtocol
	}
	return r.array(n)
}

func (r *pubsubReader) array(n int) (pubsubEvent, error) {
	kind, err := r.name()
	if err != nil {
		return pubsubEvent{}, err
	}
	e := pubsubEvent{kind: pubsubOther}
	switch {
	case (kind == "message" || kind == "smessage") && n == 3:
		e.kind = pubsubMessage
	case (kind == "subscribe" || kind == "ssubscribe") && n == 3:
		e.kind = pubsubSubscribed
	case (kind == "unsubscribe" || kind == "sunsubscribe") && n == 3:
		e.kind = pubsubUnsubscribed
	case kind == "pong":
		e.kind = pubsubPong
	}
	if e.channel, err = r.name(); err != nil {
		return e, err
	}
	for range n - 2 {
		if e.payload, err = r.value(); err != nil {
			return e, err
		}
	}
	return e, nil
}

// header reads a line without its end; it is valid until the next call and never empty.
func (r *pubsubReader) header() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, errPubSubProtocol
	}
	return line[:len(line)-2], nil
}

// name reads a string that will be seen again.
func (r *pubsubReader) name() (string, error) {
	var err error
	if r.line, err = r.bulk(r.line[:0]); err != nil {
		return "", err
	}
	if s, ok := r.names[string(r.line)]; ok {
		return s, nil
	}
	s := string(r.line)
	r.names[s] = s
	return s, nil
}

// value reads a string into memory of its own, or skips an integer.
func (r *pubsubReader) value() ([]byte, error) {
	if first, err := r.r.Peek(1); err != nil {
		return nil, err
	} else if first[0] == ':' {
		_, err := r.header()
		return nil, err
	}
	return r.bulk(nil)
}

// bulk reads a bulk string into buf, which it grows.
func (r *pubsubReader) bulk(buf []byte) ([]byte, error) {
	line, err := r.header()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(line[1:]))
	if line[0] != '$' || err != nil || n < -1 || n > maxBulk {
		return nil, errPubSubProtocol
	}
	if n < 0 { // a null: the channel of an unsubscribe from nothing
		return buf, nil
	}
	if cap(buf) < n+2 {
		buf = make([]byte, n+2)
	}
	buf = buf[:n+2]
	if _, err := io.ReadFull(r.r, buf); err != nil {
		return nil, err
	}
	return buf[:n], nil
}
