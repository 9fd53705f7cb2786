package scenario

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
	"github.com/imtier/imtier/pkg/store"
)

// Common is what all scenarios are told.
type Common struct {
	Imserver string // path of the program to measure
	Webapi   string
	RedisURL string // empty: a redis-server of its own
	AOF      bool   // that server keeps its append-only file
	Self     string // imbench's own path, for workers
	Parallel int    // handshakes at once; 0 before Register stands for usualParallel

	given func(flag string) bool // whether the user has set it
}

// usualParallel is enough where connecting is not what is measured.
const usualParallel = 64

// Register puts the common flags into fs.
func (c *Common) Register(fs *flag.FlagSet) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find imbench's own file: %w", err)
	}
	c.Self = self
	dir := filepath.Dir(self)
	fs.StringVar(&c.Imserver, "imserver", filepath.Join(dir, "imserver"), "the imserver to measure")
	fs.StringVar(&c.Webapi, "webapi", filepath.Join(dir, "webapi"), "the webapi to measure")
	fs.StringVar(&c.RedisURL, "redis", "", "an empty Redis to use, redis://host:port; one is started unless given")
	fs.BoolVar(&c.AOF, "aof", false, "the redis-server that is started keeps its append-only file, with an fsync every second, in the folder for temporary files; without, it keeps nothing on disk, as goals suppose")
	fs.IntVar(&c.Parallel, "parallel", cmp.Or(c.Parallel, usualParallel), "handshakes at once")
	c.given = func(flag string) bool { return isSet(fs, flag) }
	return nil
}

func isSet(fs *flag.FlagSet, name string) (is bool) {
	fs.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// Check tells what is wrong with the values of flags. So does that of every scenario, before anything is started.
func (c *Common) Check() error {
	err := atLeast("parallel", c.Parallel, 1)
	if c.AOF && c.RedisURL != "" {
		err = errors.Join(err, errors.New("-aof is for the redis-server that is started: not with -redis"))
	}
	return err
}

// Redis tells what Redis keeps on disk, which is a part of what a send costs.
func (c *Common) Redis() string {
	switch {
	case c.RedisURL != "":
		return "as its owner has set it up (-redis)"
	case c.AOF:
		return "append-only file, fsync every second"
	}
	return "nothing on disk"
}

// stage holds the processes of a scenario.
type stage struct {
	c     Common
	p     *report.Progress
	keys  string // signing keys
	redis string // URL
	stops []func()

	// Of imservers, and of everything that is imbench; see procs.Program.
	nice  int
	procs int

	ownRedis *procs.Redis // nil when it was there already
	nodes    []node

	mu     sync.Mutex
	fleets clients.Crowd // whose progress is shown
}

// newStage starts Redis. Close ends everything that the stage started.
func newStage(ctx context.Context, c Common, p *report.Progress) (*stage, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	s := &stage{c: c, p: p, keys: "bench:" + base64.StdEncoding.EncodeToString(key[:]), redis: c.RedisURL}
	if s.redis == "" {
		r, err := procs.StartRedis(ctx, c.AOF)
		if err != nil {
			return nil, err
		}
		s.redis, s.ownRedis = r.URL, r
		s.stops = append(s.stops, r.Stop)
	}
	s.stops = append(s.stops, p.Watch(s.live))
	return s, nil
}

// live is what the clients do at the moment; unknown while there are none.
func (s *stage) live() (report.Live, bool) {
	s.mu.Lock()
	fleets := s.fleets
	s.mu.Unlock()
	if len(fleets) == 0 {
		return report.Live{}, false
	}
	st, err := fleets.Stats()
	return report.Live{Active: st.Open, Errors: st.Errors, Messages: st.Messages}, err == nil
}

// close ends the processes, the last one first.
func (s *stage) close() {
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
	s.stops = nil
}

// imserver starts the server. It is killed in the end: signing off its connections in order measures nothing.
func (s *stage) imserver(ctx context.Context, settings ...string) (*procs.Server, error) {
	srv, err := s.server(ctx, procs.Program{Path: s.c.Imserver, Nice: s.nice, Procs: s.procs}, settings...)
	if err != nil {
		return nil, err
	}
	empty, err := measure.RSS(srv.PID())
	if err != nil {
		return nil, err
	}
	s.nodes = append(s.nodes, node{srv, empty})
	return srv, nil
}

// webapi starts the other server.
func (s *stage) webapi(ctx context.Context) (*procs.Server, error) {
	return s.server(ctx, procs.Program{Path: s.c.Webapi}, "IM_API_KEYS="+sendKey)
}

func (s *stage) server(ctx context.Context, program procs.Program, settings ...string) (*procs.Server, error) {
	srv, err := procs.StartServer(ctx, program,
		append([]string{"IM_REDIS_URL=" + s.redis, "IM_SIGNING_KEYS=" + s.keys}, settings...)...)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, srv.Kill)
	return srv, nil
}

// worker starts imbench in a role.
func (s *stage) worker(ctx context.Context, role string) (*procs.Worker, error) {
	w, err := procs.StartWorker(ctx, procs.Program{Path: s.c.Self, Nice: s.nice, Procs: s.procs}, role)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, w.Kill)
	return w, nil
}

// fleet starts a process for clients, whose progress is shown.
func (s *stage) fleet(ctx context.Context) (clients.Remote, error) {
	w, err := s.worker(ctx, clients.Role)
	if err != nil {
		return clients.Remote{}, err
	}
	r := clients.Remote{W: w}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleets = append(s.fleets[:len(s.fleets):len(s.fleets)], r) // live may hold the old one
	return r, nil
}

// store opens the stage's Redis.
func (s *stage) store(ctx context.Context) (*store.Store, error) {
	st, err := store.Open(ctx, store.Options{URL: s.redis, Name: "imbench"})
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, st.Close)
	return st, nil
}

// otherFiles is how many files a process needs besides its connections.
const otherFiles = 200

// checkFiles tells early that a process may not open as many files as connections need.
func checkFiles(conns int) error {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if uint64(conns+otherFiles) > lim.Max {
		return fmt.Errorf("%d connections in one process need ulimit -n %d, which is %d", conns, conns+otherFiles, lim.Max)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
