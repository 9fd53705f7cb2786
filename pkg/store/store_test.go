package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestVersionCheck(t *testing.T) {
	for _, c := range []struct {
		info string
		ok   bool
	}{
		{"# Server\r\nredis_version:7.0.0\r\n", true},
		{"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", true},
		{"redis_version:8.2.1\n", true},
		{"redis_version:10.0.0\r\n", true},
		{"redis_version:6.2.14\r\n", false},
		{"redis_version:5.0\r\n", false},
		{"redis_version:\r\n", false},
		{"xredis_version:7.0.0\r\n", false},
		{"redis_version:seven\r\n", false},
		{"", false},
	} {
		err := checkVersion(c.info)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRedisTooOld) {
			t.Errorf("%q: %v", c.info, err)
		}
	}
}

func TestOldRedisIsRefused(t *testing.T) {
	_, err := tryOpen(Options{URL: fakeRedis(t, "6.2.14")})
	if !errors.Is(err, ErrRedisTooOld) || errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"6.2.14", "7.0", "upgrade"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// fakeRedis answers just enough for a client to connect and ask for the version.
func fakeRedis(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				answerAsRedis(c, version)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "redis://" + l.Addr().String()
}

func answerAsRedis(c net.Conn, version string) {
	r := bufio.NewReader(c)
	for {
		var n int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		var args []string
		for range n {
			var size int
			if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
				return
			}
			arg := make([]byte, size+2)
			for i := range arg {
				b, err := r.ReadByte()
				if err != nil {
					return
				}
				arg[i] = b
			}
			args = append(args, strings.ToUpper(string(arg[:size])))
		}
		switch args[0] {
		case "HELLO":
			_, _ = fmt.Fprintf(c, "%%2\r\n+proto\r\n:3\r\n+version\r\n+%s\r\n", version)
		case "INFO":
			info := "# Server\r\nredis_version:" + version + "\r\n"
			_, _ = fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
		case "PING":
			_, _ = fmt.Fprint(c, "+PONG\r\n")
		case "CLUSTER":
			_, _ = fmt.Fprint(c, "-ERR This instance has cluster support disabled\r\n")
		default:
			_, _ = fmt.Fprint(c, "+OK\r\n")
		}
	}
}

func TestPartitionMismatchIsRefused(t *testing.T) {
	url := redistest.Start(t).URL()
	open(t, Options{URL: url, Partitions: 32})
	open(t, Options{URL: url, Partitions: 32})
	_, err := tryOpen(Options{URL: url, Partitions: 64})
	if !errors.Is(err, ErrPartitionMismatch) || errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"32", "64", "set partitions to 32"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestOpenWithoutRedis(t *testing.T) {
	srv := redistest.Start(t)
	srv.Kill()
	try := func() {
		_, err := Open(context.Background(), Options{URL: srv.URL()})
		wantUnavailable(t, err)
	}
	if took := quickest(try); took > giveUp {
		t.Errorf("took %v", took)
	}
	srv.Restart()
	srv.Pause()
	defer srv.Resume()
	if took := quickest(try); took > 5*time.Second { // two time-outs
		t.Errorf("took %v", took)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{URL: "http://x"}, {URL: "redis://x/y"}, {URL: "redis://127.0.0.1:1", Partitions: -1}, {Partitions: 5000},
	} {
		if _, err := Open(context.Background(), o); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestWhatCountsAsUnavailable(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, Options{URL: srv.URL()})
	answer := func(text string) error {
		script := s.client.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(text).Build()
		return s.do(context.Background(), script).Error()
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{answer("READONLY You can't write"), true},
		{answer("LOADING Redis is loading"), true},
		{answer("MASTERDOWN Link down"), true},
		{answer("OOM command not allowed"), true},
		{answer("CLUSTERDOWN Hash slot not served"), true},
		{answer("TRYAGAIN Multiple keys"), true},
		{answer("MISCONF Redis is configured to save"), true},
		{answer("NOREPLICAS Not enough good replicas"), true},
		{answer("BUSY Redis is busy"), true},
		{answer("WRONGTYPE Operation"), false},
		{answer("ERR no such thing"), false},
		{rueidis.Nil, false},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{net.ErrClosed, true},
		{rueidis.ErrClosing, true},
		{errors.New("read: connection reset by peer"), true},
	} {
		err := wrap("try", c.err)
		if errors.Is(err, ErrUnavailable) != c.want || !errors.Is(err, c.err) && c.err != nil {
			t.Errorf("%v became %v, want unavailable: %v", c.err, err, c.want)
		}
		if again := wrap("again", err); errors.Is(again, ErrUnavailable) != c.want {
			t.Errorf("wrapped twice: %v", again)
		}
	}
	if wrap("x", nil) != nil {
		t.Error("nil became an error")
	}
}
