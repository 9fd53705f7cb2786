package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Redis sends pipelines of commands whose replies are short: a line each, or a string of one line.
type Redis struct {
	Addr      string   // host:port of one without a password
	Pipelines [][]byte // encoded commands, so many of them in each, sent in turn
	Each      int
}

// Open connects. A reply that is an error is an error.
func (p Redis) Open(ctx context.Context) (Sender, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, err
	}
	return &redisSender{p: p, c: c, in: bufio.NewReaderSize(c, bufferSize)}, nil
}

// redisSender is one connection.
type redisSender struct {
	p  Redis
	c  net.Conn
	in *bufio.Reader
}

func (s *redisSender) Send(_ context.Context, i int64, _ time.Time) error {
	if err := s.c.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	if _, err := s.c.Write(s.p.Pipelines[int(i%int64(len(s.p.Pipelines)))]); err != nil {
		return fmt.Errorf("send a pipeline: %w", err)
	}
	for range s.p.Each {
		if err := redisReply(s.in); err != nil {
			return err
		}
	}
	return nil
}

func (s *redisSender) Close() { s.c.Close() }

// redisReply reads one reply to its end.
func redisReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read a reply: %w", err)
	}
	switch {
	case line[0] == '-':
		return errors.New("redis answers " + string(line[1:len(line)-2]))
	case line[0] != '$' || line[1] == '-': // nothing else, or a string that there is not
		return nil
	}
	if _, err := r.ReadSlice('\n'); err != nil {
		return fmt.Errorf("read a reply: %w", err)
	}
	return nil
}

// RedisCommand appends a command as Redis takes it.
func RedisCommand(b []byte, args ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}
