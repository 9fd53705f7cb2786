package scenario

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/machine"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// maxNodes is as many as there are partitions: a node without one would have no clients of its own.
const maxNodes = protocol.DefaultPartitions

// pongTimeout is the imservers' IM_PONG_TIMEOUT: while a million sockets are written to, clients take turns.
const pongTimeout = time.Minute

// progressSteps is how often is told how many connections are open.
const progressSteps = 10

// Names of processes in tables.
const (
	nodeName   = "imserver"
	apiName    = "webapi"
	redisName  = "redis"
	clientName = "clients"
	bareName   = "bare"
)

// cluster is an installation, and the clients of each of its nodes.
type cluster struct {
	size   machine.Size
	st     *store.Store
	redis  string // URL
	nodes  []*procs.Server
	webapi *sender
	fleets clients.Crowd
	plans  []clients.Plan
	sent   []int64 // messages that each fleet has to get
	cpu    *account
	watch  *watch
	round  int // of the last broadcast
	p      *report.Progress
}

// start starts all processes; nobody connects yet.
func (o *Million) start(ctx context.Context, s *stage, size machine.Size) (*cluster, error) {
	w, err := startWatch()
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, w.stop)
	c := &cluster{
		size: size, plans: make([]clients.Plan, size.Nodes), sent: make([]int64, size.Nodes),
		redis: s.redis, watch: w, cpu: s.account("driver"), p: s.p,
	}
	if c.st, err = s.store(ctx); err != nil {
		return nil, err
	}
	s.p.Say("million: starting Redis, webapi, %d imservers and as many processes of clients …", size.Nodes)
	api, err := s.webapi(ctx)
	if err != nil {
		return nil, err
	}
	c.cpu.add(apiName, api.PID())
	c.webapi = newSender(api.Addr)
	s.stops = append(s.stops, c.webapi.close)
	numbers := assign(c.size, c.st.Partition)
	for i := range c.size.Nodes {
		srv, err := s.imserver(ctx, "IM_PING_INTERVAL="+o.PingInterval.String(), "IM_PONG_TIMEOUT="+pongTimeout.String())
		if err != nil {
			return nil, err
		}
		fleet, err := s.fleet(ctx)
		if err != nil {
			return nil, err
		}
		c.cpu.add(nodeName, srv.PID())
		c.cpu.add(clientName, fleet.W.PID())
		c.nodes, c.fleets = append(c.nodes, srv), append(c.fleets, fleet)
		c.plans[i] = clients.Plan{
			URL: srv.URL, Keys: s.keys, Unsigned: true, Count: size.PerNode, Numbers: numbers[i],
			V1: size.PerNode * o.V1 / 100, Parallel: o.Parallel, Resumes: true,
		}
	}
	c.plans[0].V1 = size.PerNode // the node that will be killed
	return c, nil
}

// assign says which clients belong to which node, by number. As in any installation the clients of a partition share a
// node, so that a message to one of them travels to that node only. Partitions are not quite equal, so some numbers are
// left out.
func assign(size machine.Size, partition func(id string) int) [][]int32 {
	of := make([][]int32, size.Nodes)
	for i := range of {
		of[i] = make([]int32, 0, size.PerNode)
	}
	for n, left := 0, size.Connections(); left > 0; n++ {
		node := partition(clients.ClientID(n)) * size.Nodes / protocol.DefaultPartitions
		if len(of[node]) < size.PerNode {
			of[node] = append(of[node], int32(n))
			left--
		}
	}
	return of
}

// connect lets all clients in, node by node.
func (o *Million) connect(ctx context.Context, c *cluster, res *report.Result) error {
	if err := c.cpu.begin(); err != nil {
		return err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		open  int
		again int64
		errs  []error
	)
	begin := time.Now()
	slots := make(chan struct{}, o.AtOnce)
	for i, fleet := range c.fleets {
		slots <- struct{}{}
		mu.Lock()
		failed := len(errs) > 0
		mu.Unlock()
		if failed {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			opened, err := fleet.Open(c.plans[i])
			err = errors.Join(err, fleet.Trim())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("node %d: %w", i, err))
				return
			}
			open, again = open+c.size.PerNode, again+opened.Retries
			if n := c.size.Connections(); open*progressSteps/n > (open-c.size.PerNode)*progressSteps/n {
				c.p.Say("million: %d of %d connections, %.0f/s, %.2f GB", open, n,
					float64(open)/time.Since(begin).Seconds(), inGB(c.watch.now().unavailable))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	passed, n := time.Since(begin), c.size.Connections()
	if err := c.cpu.end("connect"); err != nil {
		return err
	}
	res.Add("connects", float64(n)/passed.Seconds(), "/s", fmt.Sprintf("%.0f s, %d nodes at a time; %d answered 503 and tried again", passed.Seconds(), o.AtOnce, again))
	res.Costs = append(res.Costs, c.cpu.cost("connect", "connect", int64(n)))
	connects, _, err := c.fleets.Took()
	if err != nil {
		return err
	}
	res.Took("handshake", connects)
	online, _, err := c.st.Totals(ctx)
	checkOnline(res, "", n, online)
	return err
}

// idleWork is what processes do for connections that do nothing.
const idleWork = "idle"

// settle waits until the servers have given memory back, and looks at it.
func (o *Million) settle(ctx context.Context, c *cluster, res *report.Result) error {
	c.p.Say("million: waiting for memory to be given back …")
	if err := pause(ctx, o.Quiet); err != nil {
		return err
	}
	if err := c.cpu.begin(); err != nil {
		return err
	}
	began := time.Now()
	if err := o.profile(ctx, c); err != nil {
		return err
	}
	if err := pause(ctx, o.Quiet/2); err != nil {
		return err
	}
	if err := c.cpu.end(idleWork); err != nil {
		return err
	}
	res.Costs = append(res.Costs, c.cpu.cost(idleWork, "second", int64(time.Since(began).Round(time.Second).Seconds())))
	held, err := c.cpu.resident()
	if err != nil {
		return err
	}
	o.reportMemory(c, held, res)
	return nil
}

// profile stores profiles of the last node.
func (o *Million) profile(ctx context.Context, c *cluster) error {
	if o.Profiles == "" {
		return nil
	}
	node := c.nodes[len(c.nodes)-1]
	for _, p := range [][2]string{
		{fmt.Sprintf("profile?seconds=%d", max(1, int(o.Quiet.Seconds()))), "cpu.pprof"}, {"heap?gc=1", "heap.pprof"}, {"heap?debug=1", "heap.txt"},
	} {
		if err := node.Profile(ctx, p[0], filepath.Join(o.Profiles, p[1])); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

// end ends all nodes and clients at once: one after the other, each would tell the next that it goes.
func (c *cluster) end() error {
	c.p.Say("million: stopping everything …")
	var wg sync.WaitGroup
	for i := range c.nodes {
		wg.Go(c.nodes[i].Kill)
		wg.Go(c.fleets[i].W.Kill)
	}
	wg.Wait()
	return nil
}
