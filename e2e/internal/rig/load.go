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
	Movers  int // 6; so many of the first clients join and leave clubs all the time; negative, or without senders: none

	Ways       []ledger.Way // in which clients come back; all
	SlowBuffer int
	Settle     time.Duration // for everybody to be back and have everything in the end; 60 s, for a busy machine
	Seed       uint64        // of what is sent to whom
}

// settleTimeout is LoadOptions.Settle unless set otherwise, and how long a single send is tried.
const settleTimeout = time.Minute

// clientDice keeps the clients' choices apart from the senders'.
const clientDice = 1 << 32

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
	if o.Movers == 0 {
		o.Movers = 6
	}
	if o.Senders < 0 {
		o.Movers = 0
	}
	if o.Ways == nil {
		o.Ways = []ledger.Way{ledger.ByPositions, ledger.BySession, ledger.ByCursor, ledger.ByNothing}
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
	clubs   *clubs
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

	l.markers = l.sender("marker", 1000, true)
	l.script = l.sender("script", 1001, true)
	l.clubs = newClubs(l, o.Movers)
	l.begin()
	return l
}

// begin starts the senders, when it is sure that clients can come back in every way.
func (l *Load) begin() {
	o, r := l.options, l.Rig
	var ctx context.Context
	ctx, l.stop = context.WithCancel(r.T.Context())
	if o.Senders > 0 {
		l.clubs.fill(ctx)
		l.Calm()
	}
	for i := range o.Senders {
		s := l.sender(fmt.Sprint("sender-", i), uint64(i), i%2 == 0)
		l.senders.Go(func() { s.run(ctx, time.Second*time.Duration(o.Senders)/time.Duration(o.Rate)) })
	}
	if o.Movers > 0 {
		l.senders.Go(func() { l.clubs.run(ctx) })
	}
	r.T.Cleanup(l.senders.Wait)
}

// Send sends one message, repeating it until it succeeds, and returns its key; only the test's goroutine may call it.
func (l *Load) Send(m ledger.Send) (key string) {
	l.T.Helper()
	ctx, cancel := context.WithTimeout(l.T.Context(), settleTimeout)
	defer cancel()
	if !l.script.send(ctx, m) {
		l.T.Fatalf("a send to %s %q did not succeed within %v", m.Kind, m.To, settleTimeout)
	}
	return fmt.Sprintf("%s/%d", l.script.name, l.script.seq)
}

// Flood sends messages of so many bytes to the slow clients' group for a while; only the test's goroutine may call it.
func (l *Load) Flood(d, every time.Duration, bytes int) {
	l.T.Helper()
	s := *l.script
	s.pad = bytes
	tick := time.NewTicker(every)
	defer tick.Stop()
	least := int(d / every) // also where sending takes its time
	for i, end := 0, time.Now().Add(d); i < least || time.Now().Before(end); i++ {
		<-tick.C
		s.send(l.T.Context(), ledger.Send{Kind: ledger.Group, To: []string{SlowGroup}})
	}
	l.script.seq = s.seq
}

func (l *Load) join(ctx context.Context, buffer int, id string, groups ...string) {
	slices.Sort(groups)
	var nodes []string
	for _, n := range l.Nodes {
		nodes = append(nodes, n.Addr)
	}
	c := client.New(client.Options{
		API: l.API, Ledger: ledger.NewClient(id, slices.Compact(groups)...), First: firstPause, Last: lastPause, Buffer: buffer,
		Ways: l.options.Ways, Nodes: nodes, Rand: rand.New(rand.NewPCG(l.options.Seed, clientDice+uint64(len(l.Clients)))),
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

// choose picks what to send: mostly to one client, often to a group, sometimes to several clients or everybody. Those who try
// again also ask for receipts.
func (s *sender) choose() ledger.Send {
	some := func() string { return s.l.Clients[s.rng.IntN(len(s.l.Clients))].ID() }
	switch n := s.rng.IntN(100); {
	case n < 20 && s.retry:
		m := ledger.Send{Kind: ledger.Direct, To: []string{some()}, From: some(), Receipt: "delivered"}
		if m.From == m.To[0] {
			m.From = "" // nobody gets what is from themselves
			m.Receipt = ""
		} else if n < 10 {
			m.Receipt = "read"
		}
		return m
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
		if n >= 85 && s.l.options.Movers > 0 {
			m.To = []string{s.l.clubs.names[s.rng.IntN(len(s.l.clubs.names))]}
		}
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

// againPercent of the sends that succeeded are sent again with the same id.
const againPercent = 3

// send makes one send, with retries until ctx ends if the sender is of that kind, and reports whether it succeeded. An
// attempt that is under way is always waited for.
func (s *sender) send(ctx context.Context, m ledger.Send) bool {
	s.seq++
	m.Sender, m.Seq, m.Key = s.name, s.seq, fmt.Sprintf("%s/%d", s.name, s.seq)
	for {
		a := s.attempt(context.WithoutCancel(ctx), m)
		s.l.Publisher.Add(a)
		if a.Outcome == ledger.OK && s.retry && s.rng.IntN(100) < againPercent {
			s.l.Publisher.Add(s.attempt(context.WithoutCancel(ctx), m)) // as if the answer had been lost
		}
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
	data := map[string]any{"key": m.Key}
	if s.pad > 0 {
		data["pad"] = strings.Repeat("x", s.pad)
	}
	if m.Receipt == "read" {
		data["read"] = true
	}
	msg := api.Message{From: s.name, Data: data, Receipt: m.Receipt}
	if m.From != "" {
		msg.From = m.From
	}
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
	m.Outcome, m.Repeated, m.Pos = ledger.OK, sent.Duplicate, make(map[string]string)
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
