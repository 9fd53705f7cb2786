package bare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/bench/internal/procs"
)

// Names of imbench's roles as the two ends of the bare chain.
const (
	PublisherRole = "bare-publisher"
	RelayRole     = "bare-relay"
)

const (
	// chainChannel is what all messages of the bare chain are announced on: "receiver LF data".
	chainChannel = "bare:chain"
	// subscribeLimit is how long Redis may take until messages come.
	subscribeLimit = 10 * time.Second
)

// publisher is the end that backends call.
type publisher struct {
	redis      rueidis.Client
	one, batch *rueidis.Lua
}

// WorkPublisher is the server, driven through in and out.
func WorkPublisher(in io.Reader, out io.Writer) error {
	p := &publisher{one: rueidis.NewLuaScript(script), batch: rueidis.NewLuaScript(batchScript)}
	return workHTTP(in, out, sends(p.message, p.messages), func(redisURL json.RawMessage, addr string) (_ any, err error) {
		p.redis, err = connect(redisURL)
		return addr, err
	})
}

// connect opens a client of the Redis whose URL is given.
func connect(raw json.RawMessage) (rueidis.Client, error) {
	var url string
	if err := json.Unmarshal(raw, &url); err != nil {
		return nil, err
	}
	o, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.DisableCache = true
	c, err := rueidis.NewClient(o)
	if err == nil && c.Mode() == rueidis.ClientModeCluster {
		c.Close()
		return nil, errCluster
	}
	return c, err
}

var errCluster = errors.New("it works with one server, and this is a Cluster: leave it out with -baseline=false")

// message keeps and announces a send, and answers as webapi does.
func (p *publisher) message(w http.ResponseWriter, r *http.Request) {
	in, err := readSend(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pos, err := p.one.Exec(r.Context(), p.redis, []string{stream(&in), chainChannel}, []string{announcement(&in)}).ToString()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, appendSent(nil, in.To, pos))
}

// messages is the same for a batch, with one call of a script.
func (p *publisher) messages(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Sends []send `json:"sends"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	keys, args := []string{chainChannel}, make([]string, len(in.Sends))
	for i := range in.Sends {
		keys, args[i] = append(keys, stream(&in.Sends[i])), announcement(&in.Sends[i])
	}
	pos, err := p.batch.Exec(r.Context(), p.redis, keys, args).AsStrSlice()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	body := []byte(`{"results":[`)
	for i := range pos {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendSent(body, in.Sends[i].To, pos[i])
	}
	answer(w, append(body, "]}"...))
}

func stream(s *send) string { return "bare:s:" + s.To }

func announcement(s *send) string { return s.To + "\n" + string(s.Data) }

// relay is the end that clients are connected to: the bare loop's server, and who has which connection. A receiver that
// is new gets the next one that is nobody's.
type relay struct {
	*fanout
	of map[string]int // receiver → descriptor; the subscription's alone
}

// WorkRelay is the server, driven through in and out.
func WorkRelay(in io.Reader, out io.Writer) error {
	f, err := newFanout()
	if err != nil {
		return err
	}
	defer f.listener.Close()
	r := &relay{fanout: f, of: make(map[string]int)}
	return procs.Work(in, out, procs.Ops{
		opListen: func(redisURL json.RawMessage) (any, error) {
			c, err := connect(redisURL)
			if err != nil {
				return nil, err
			}
			return f.url(), r.subscribe(c)
		},
	})
}

// subscribe has messages written as they come, and returns when they do.
func (r *relay) subscribe(c rueidis.Client) error {
	confirmed := make(chan struct{})
	ctx := rueidis.WithOnSubscriptionHook(context.Background(), func(rueidis.PubSubSubscription) { close(confirmed) })
	go func() { // until the process ends
		err := c.Receive(ctx, c.B().Subscribe().Channel(chainChannel).Build(), func(m rueidis.PubSubMessage) {
			to, data, _ := strings.Cut(m.Message, "\n")
			if err := r.give(to, data); err != nil {
				fmt.Fprintln(os.Stderr, "bare relay:", err) // the message will be missing
			}
		})
		fmt.Fprintln(os.Stderr, "bare relay:", err)
	}()
	select {
	case <-confirmed:
		return nil
	case <-time.After(subscribeLimit):
		return errors.New("subscribe: no answer")
	}
}

// give writes a message to who it is for.
func (r *relay) give(to, data string) error {
	fd, err := r.connectionOf(to)
	if err != nil {
		return err
	}
	frame := textFrame([]byte(data))
	n, err := syscall.Write(fd, frame)
	if err == nil && n < len(frame) {
		err = errors.New("a socket has no room")
	}
	return err
}

func (r *relay) connectionOf(receiver string) (fd int, err error) {
	if fd, known := r.of[receiver]; known {
		return fd, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.of) == len(r.fds) {
		return 0, fmt.Errorf("no connection is left for %s", receiver)
	}
	fd = r.fds[len(r.of)]
	r.of[receiver] = fd
	return fd, nil
}

// Chain is the bare chain in two processes of its own.
type Chain struct{ Publisher, Relay *procs.Worker }

// Start has it work with a Redis, and returns where sends and clients go to. It may be called once.
func (c Chain) Start(redisURL string) (addr, url string, err error) {
	if err := c.Relay.Call(opListen, redisURL, &url); err != nil {
		return "", "", err
	}
	err = c.Publisher.Call(opListen, redisURL, &addr)
	return addr, url, err
}
