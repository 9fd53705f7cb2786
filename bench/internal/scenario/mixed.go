package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/load"
	"github.com/imtier/imtier/bench/internal/report"
)

// Mixed is a chat: users are members of groups, of which a few are large and most are small (Zipf's law), and write to
// each other and to their groups at a given rate, through webapi. Every delivery of every client is counted.
type Mixed struct {
	Common
	N          int // users
	Groups     int
	Each       int // groups of one user
	Zipf       float64
	GroupShare float64 // of the messages
	Rate       float64
	Duration   time.Duration
	V1         int // percent
	Seed       uint64
}

// Register puts the flags into fs.
func (o *Mixed) Register(fs *flag.FlagSet) error {
	fs.IntVar(&o.N, "n", 10000, "users, each with a connection")
	fs.IntVar(&o.Groups, "groups", 2000, "groups")
	fs.IntVar(&o.Each, "each", 5, "groups of each user, 100 at most")
	fs.Float64Var(&o.Zipf, "zipf", 1.2, "how much larger the large groups are: the exponent of Zipf's law, more than 1")
	fs.Float64Var(&o.GroupShare, "group-share", 0.2, "share of messages that go to one of the writer's groups; the others go to a user")
	fs.Float64Var(&o.Rate, "rate", 300, "messages a second")
	fs.DurationVar(&o.Duration, "duration", 10*time.Second, "how long")
	fs.IntVar(&o.V1, "v1", 50, "percent of the connections that speak imtier.v1")
	fs.Uint64Var(&o.Seed, "seed", 1, "of the random numbers")
	return o.Common.Register(fs)
}

const (
	// zipfOffset flattens the top of Zipf's law, so that the largest group has a seventh of the users and not nearly all.
	zipfOffset = 10
	// mixedSenders is how many requests may be under way: backends have pools of this size.
	mixedSenders = 64
	// maxEach is how many groups a token may hold.
	maxEach = 100
)

// Check tells what is wrong with the flags.
func (o *Mixed) Check() error {
	err := errors.Join(o.Common.Check(), atLeast("n", o.N, 1), atLeast("groups", o.Groups, 1), among("each", o.Each, 0, maxEach),
		among("group-share", o.GroupShare, 0, 1), lasts("duration", o.Duration), percent("v1", o.V1))
	switch {
	case err != nil:
		return err
	case o.Each > o.Groups:
		return fmt.Errorf("-each is %d of %d -groups", o.Each, o.Groups)
	case !(o.Zipf > 1): // no number is not
		return fmt.Errorf("-zipf is %v: more than 1", o.Zipf)
	}
	return paces("rate", o.Rate, o.Duration, 1)
}

// chat is what is going to be said, and who has to get how much of it.
type chat struct {
	joins    [][]int // groups of each user
	requests [][]byte
	want     []int64 // messages of each user
	toGroups int
}

// Run measures.
func (o *Mixed) Run(ctx context.Context, p *report.Progress) (*report.Result, error) {
	res := report.New("mixed", fmt.Sprintf("%d users in %d groups (%d each, Zipf %.1f) write %.0f messages a second, %.0f%% of them to groups, for %v",
		o.N, o.Groups, o.Each, o.Zipf, o.Rate, 100*o.GroupShare, o.Duration))
	if err := checkFiles(o.N); err != nil {
		return res, err
	}
	s, err := newStage(ctx, o.Common, p)
	if err != nil {
		return res, err
	}
	defer s.close()
	defer s.tell(res)
	cpu := s.account("generator")
	ps, err := s.places(ctx, 1, cpu)
	if err != nil {
		return res, err
	}
	api, err := s.webapi(ctx)
	if err != nil {
		return res, err
	}
	cpu.add("webapi", api.PID())
	c := o.invent(api.Addr)
	p.Say("mixed: opening %d connections …", o.N)
	fleet := ps[0].fleet
	if _, err = fleet.Open(clients.Plan{
		URL: ps[0].srv.URL, Keys: s.keys, Count: o.N, V1: o.N * o.V1 / 100, Joins: c.joins, Parallel: o.Parallel,
	}); err != nil {
		return res, err
	}
	if err := cpu.begin(); err != nil {
		return res, err
	}
	p.Say("mixed: %d messages …", len(c.requests))
	h := load.HTTP{Addr: api.Addr, Requests: c.requests, Stamp: clients.Stamp}
	done, err := load.Run(ctx, load.Plan{Open: h.Open, Senders: mixedSenders, Duration: o.Duration, Rate: o.Rate})
	if err != nil {
		return res, err
	}
	if err := awaitMessages(ctx, clients.Crowd{fleet}, sum(c.want)); err != nil {
		return res, err
	}
	if err := cpu.end("chat"); err != nil {
		return res, err
	}
	return res, o.report(ctx, res, c, fleet, done, cpu)
}

// invent draws members and messages.
func (o *Mixed) invent(addr string) *chat {
	rnd := rand.New(rand.NewPCG(o.Seed, o.Seed))
	c := &chat{joins: make([][]int, o.N), want: make([]int64, o.N)}
	members := make([][]int, o.Groups)
	if o.Each > 0 {
		zipf := rand.NewZipf(rnd, o.Zipf, zipfOffset, uint64(o.Groups-1))
		for u := range c.joins {
			for len(c.joins[u]) < o.Each {
				g := int(zipf.Uint64())
				if slices.Contains(c.joins[u], g) {
					continue
				}
				c.joins[u] = append(c.joins[u], g)
				members[g] = append(members[g], u)
			}
		}
	}
	data := clients.Data(0, sendSize)
	said := load.Plan{Rate: o.Rate, Duration: o.Duration}
	for range said.Total() {
		from := rnd.IntN(o.N)
		if o.Each == 0 || rnd.Float64() >= o.GroupShare {
			to := rnd.IntN(o.N)
			c.want[to]++
			body := encode(sendBody{To: clients.ClientID(to), From: clients.ClientID(from), Data: data})
			c.requests = append(c.requests, load.Request(addr, "/v1/messages", sendKey, body))
			continue
		}
		c.toGroups++
		g := c.joins[from][rnd.IntN(o.Each)]
		for _, u := range members[g] {
			c.want[u]++
		}
		body := encode(sendBody{From: clients.ClientID(from), Data: data})
		c.requests = append(c.requests, load.Request(addr, "/v1/groups/"+clients.GroupName(g)+"/messages", sendKey, body))
	}
	return c
}

func (o *Mixed) report(ctx context.Context, res *report.Result, c *chat, fleet clients.Remote, done load.Result, cpu *account) error {
	got, err := counted(ctx, clients.Crowd{fleet})
	if err != nil {
		return err
	}
	_, delivered, err := fleet.Took()
	if err != nil {
		return err
	}
	wrong := 0
	for u := range c.want {
		if got[u] != c.want[u] {
			wrong++
		}
	}
	deliveries := sum(c.want)
	res.Check("clients that got more or less than was sent to them", float64(wrong), "", report.AtMost(0),
		fmt.Sprintf("of %d", o.N))
	res.Add("messages", done.Rate(), "/s", fmt.Sprintf("%d, %d of them to groups", done.Done, c.toGroups))
	res.Add("deliveries", float64(deliveries)/done.Elapsed.Seconds(), "/s",
		fmt.Sprintf("%d, %.1f for one message", deliveries, float64(deliveries)/float64(len(c.requests))))
	res.Took("answered", done.Took)
	res.Took("read by each receiver", delivered)
	res.Costs = append(res.Costs, cpu.cost("chat", "delivery", deliveries))
	return nil
}

func sum(of []int64) (n int64) {
	for _, v := range of {
		n += v
	}
	return n
}
