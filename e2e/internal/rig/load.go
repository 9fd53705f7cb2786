package rig

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
	"github.com/imtier/imtier/e2e/internal/proc"
)

// LoadOptions say how much is sent to whom. The zero value of each is a modest default.
type LoadOptions struct {
	Clients int // 60
	Groups  int // 6; client i is in groups i and i+1, modulo their number
	Senders int // 8, negative: none; every second one retries what fails, with the same id
	Rate    int // sends a second, of all senders; 100
	Slow    int // so many more clients, in all groups, for which the kernel keeps only SlowBuffer bytes
	Pad     int // bytes added to each message

	SlowBuffer int
	Settle     time.Duration // for everybody to be back and have everything in the end; 60 s, for a busy machine
	Seed       uint64        // of what is sent to whom
}

// settleTimeout is LoadOptions.Settle unless set otherwise, and how long a single send is tried.
const settleTimeout = time.Minute

// SlowGroup is the group of slow clients.
const SlowGroup = "slow"

func (o *LoadOptions) fill() {
	if o.Clients == 0 {
		o.Clients = 60
	}
	if o.Groups == 0 {
		o.Groups = 6
	}
	if o.Senders == 0 {
		o.Senders = 8
	}
	if o.Settle == 0 {
		o.Settle = settleTimeout
	}
	if o.Rate == 0 {
		o.Rate = 100
	}
}

// Load is an installation under load: clients that stay connected as well as they can, senders that send without end, and
// the ledgers of both.
type Load struct {
	*Rig
	Publisher *ledger.Publisher
	Clients   []*client.Client
	Groups    []string
	Before    []proc.State // of each node, before the clients came

	options LoadOptions
	stop    context.CancelFunc // of the senders
	leave   context.CancelFunc // of the clients
	senders sync.WaitGroup
	online  sync.WaitGroup
	markers *sender
	script  *sender
}

// Load connects clients and begins to send. Check, or the test's end, ends it.
func (r *Rig) Load(o LoadOptions) *Load {
	r.T.Helper()
	o.fill()
	l := &Load{Rig: r, Publisher: &ledger.Publisher{}, options: o}
	for _, n := range r.Nodes {
		st, err := n.State(r.T.Context())
		if err != nil {
			r.T.Fatal(err)
		}
		l.Before = append(l.Before, st)
	}
	for g := range o.Groups {
		l.Groups = append(l.Groups, fmt.Sprint("group-", g))
	}
	ctx, leave := context.WithCancel(r.T.Context())
	l.leave = leave
	for i := range o.Clients {
		l.join(ctx, 0, fmt.Sprint("client-", i), l.Groups[i%o.Groups], l.Groups[(i+1)%o.Groups])
	}
	for i := range o.Slow {
		l.join(ctx, o.SlowBuffer, fmt.Sprint("slow-", i), SlowGroup)
	}
	if o.Slow > 0 {
		l.Groups = append(l.Groups, SlowGroup)
	}
	r.T.Cleanup(l.online.Wait)
	r.WaitStarted(l.Clients...)

	ctx, l.stop = context.WithCancel(r.T.Context())
	for i := range o.Senders {
		s := l.sender(fmt.Sprint("sender-", i), uint64(i), i%2 == 0)
		l.senders.Go(func() { s.run(ctx, time.Second*time.Duration(o.Senders)/time.Duration(o.Rate)) })
	}
	r.T.Cleanup(l.senders.Wait)
	l.markers = l.sender("marker", 1000, true)
	l.script = l.sender("script", 1001, true)
	return l
}

// Send sends one message, repeating it until it succeeds; only the test's goroutine may call it.
func (l *Load) Send(m ledger.Send) {
	l.T.Helper()
	ctx, cancel := context.WithTimeout(l.T.Context(), settleTimeout)
	defer cancel()
	if !l.script.send(ctx, m) {
		l.T.Fatalf("a send to %s %q did not succeed within %v", m.Kind, m.To, settleTimeout)
	}
}

// Flood sends messages of so many bytes to the slow clients' group for a while; only the test's goroutine may call it.
func (l *Load) Flood(d, every time.Duration, bytes int) {
	l.T.Helper()
	s := *l.script
	s.pad = bytes
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		s.send(l.T.Context(), ledger.Send{Kind: ledger.Group, To: []string{SlowGroup}})
	}
	l.script.seq = s.seq
}

func (l *Load) join(ctx context.Context, buffer int, id string, groups ...string) {
	slices.Sort(groups)
	c := client.New(client.Options{
		API: l.API, Ledger: ledger.NewClient(id, slices.Compact(groups)...), First: firstPause, Last: lastPause, Buffer: buffer,
	})
	l.Clients = append(l.Clients, c)
	l.online.Go(func() {
		if err := c.Run(ctx); err != nil {
			l.T.Errorf("a client was sent away: %v", err)
		}
	})
}

// ledgers are those of the clients.
func (l *Load) ledgers() []*ledger.Client {
	out := make([]*ledger.Client, len(l.Clients))
	for i, c := range l.Clients {
		out[i] = c.Ledger()
	}
	return out
}

// sender sends one message after the other, each after the one before was answered or given up.
type sender struct {
	l     *Load
	name  string
	rng   *rand.Rand
	pad   int  // bytes added to each message
	retry bool // with an id of its own, until it succeeds
	seq   int
}

func (l *Load) sender(name string, n uint64, retry bool) *sender {
	return &sender{l: l, name: name, pad: l.options.Pad, rng: rand.New(rand.NewPCG(l.options.Seed, n)), retry: retry}
}

func (s *sender) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.send(ctx, s.choose())
		}
	}
}

// choose picks what to send: mostly to one client, often to a group, sometimes to several clients or everybody.
func (s *sender) choose() ledger.Send {
	some := func() string { return s.l.Clients[s.rng.IntN(len(s.l.Clients))].ID() }
	switch n := s.rng.IntN(100); {
	case n < 60:
		return ledger.Send{Kind: ledger.Direct, To: []string{some()}}
	case n < 70:
		to := make(map[string]bool)
		for range 5 {
			to[some()] = true
		}
		m := ledger.Send{Kind: ledger.Direct}
		for id := range to {
			m.To = append(m.To, id)
		}
		return m
	case n < 95:
		m := ledger.Send{Kind: ledger.Group, To: []string{s.l.Groups[s.rng.IntN(s.l.options.Groups)]}}
		if n < 75 {
			m.Except = some()
		}
		return m
	default:
		return ledger.Send{Kind: ledger.Broadcast}
	}
}

// The pause before a retry, and what bounds one attempt beyond the API's own time-out.
const retryPause = 200 * time.Millisecond

// send makes one send, with retries until ctx ends if the sender is of that kind, and reports whether it succeeded. An
// attempt that is under way is always waited for.
func (s *sender) send(ctx context.Context, m ledger.Send) bool {
	s.seq++
	m.Sender, m.Seq, m.Key = s.name, s.seq, fmt.Sprintf("%s/%d", s.name, s.seq)
	for {
		a := s.attempt(context.WithoutCancel(ctx), m)
		s.l.Publisher.Add(a)
		if a.Outcome == ledger.OK || !s.retry {
			return a.Outcome == ledger.OK
		}
		t := time.NewTimer(retryPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

func (s *sender) attempt(ctx context.Context, m ledger.Send) ledger.Send {
	data := Data(m.Key)
	if s.pad > 0 {
		data["pad"] = strings.Repeat("x", s.pad)
	}
	msg := api.Message{From: s.name, Data: data}
	if s.retry {
		msg.ID = m.Key
	}
	if m.Except != "" {
		msg.From, msg.ExceptSender = m.Except, true
	}
	m.Called = time.Now()
	sent, err := s.call(ctx, m, msg)
	m.Returned = time.Now()
	var refused *api.Problem
	switch {
	case errors.As(err, &refused):
		m.Outcome, m.Error = ledger.Failed, err.Error()
		return m
	case err != nil:
		m.Outcome, m.Error = ledger.Unknown, err.Error()
		return m
	}
	m.Outcome, m.Pos = ledger.OK, make(map[string]string)
	switch m.Kind {
	case ledger.Direct:
		for _, r := range sent.Results {
			m.Pos[r.ClientID] = r.Pos
		}
	case ledger.Group:
		m.Pos[m.To[0]] = sent.Pos
	default:
		m.Pos[""] = sent.Pos
	}
	return m
}

func (s *sender) call(ctx context.Context, m ledger.Send, msg api.Message) (api.Sent, error) {
	switch m.Kind {
	case ledger.Direct:
		msg.To = m.To
		return s.l.API.Send(ctx, msg)
	case ledger.Group:
		return s.l.API.SendGroup(ctx, m.To[0], msg)
	default:
		return s.l.API.Broadcast(ctx, msg)
	}
}
