package scenario

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/pkg/store"
)

// ErrOver is returned when everything worked but a number is outside its limit.
var ErrOver = errors.New("outside the limit")

// Common is what all scenarios are told.
type Common struct {
	Imserver string // path of the program to measure
	Webapi   string
	RedisURL string // empty: a redis-server of its own
	Self     string // imbench's own path, for workers
	Parallel int    // handshakes at once
}

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
	fs.IntVar(&c.Parallel, "parallel", 32, "handshakes at once")
	return nil
}

// stage holds the processes of a scenario.
type stage struct {
	c     Common
	out   io.Writer
	keys  string // signing keys
	redis string // URL
	stops []func()

	ownRedis *procs.Redis // nil when it was there already
}

// newStage starts Redis. Close ends everything that the stage started.
func newStage(ctx context.Context, c Common, out io.Writer) (*stage, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	s := &stage{c: c, out: out, keys: "bench:" + base64.StdEncoding.EncodeToString(key[:]), redis: c.RedisURL}
	if s.redis == "" {
		r, err := procs.StartRedis(ctx)
		if err != nil {
			return nil, err
		}
		s.redis, s.ownRedis = r.URL, r
		s.stops = append(s.stops, r.Stop)
	}
	return s, nil
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
	return s.server(ctx, s.c.Imserver, settings...)
}

func (s *stage) server(ctx context.Context, path string, settings ...string) (*procs.Server, error) {
	srv, err := procs.StartServer(ctx, path,
		append([]string{"IM_REDIS_URL=" + s.redis, "IM_SIGNING_KEYS=" + s.keys}, settings...)...)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, srv.Kill)
	return srv, nil
}

// worker starts imbench in a role.
func (s *stage) worker(ctx context.Context, role string) (*procs.Worker, error) {
	w, err := procs.StartWorker(ctx, s.c.Self, role)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, w.Kill)
	return w, nil
}

// fleet starts a process for clients.
func (s *stage) fleet(ctx context.Context) (clients.Remote, error) {
	w, err := s.worker(ctx, clients.Role)
	return clients.Remote{W: w}, err
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

// logf tells people what is going on.
func (s *stage) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...) // the table's writer reports errors
}
