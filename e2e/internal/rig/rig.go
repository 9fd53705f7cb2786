package rig

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// What every installation is set up with. The secrets are looked for in all logs.
const (
	APIKey      = "rig-api-key-0c5e7d1b"
	SigningKeys = "rig:cmlnLXNpZ25pbmcta2V5LTAxMjM0NTY3ODlhYmNkZWY="
	secretPart  = "cmlnLXNpZ25pbmcta2V5" // of SigningKeys
)

// Ports of an installation, all on its own address, as offsets from its first one.
const (
	redisPort   = 0
	webapiPort  = 1
	webapiAdmin = 2
	webapiProxy = 3
	nodePort    = 10 // of the first node, +10 for each further one; so are the next two
	adminPort   = 11
	proxyPort   = 12

	portSpan = 100 // what an installation may use
)

// readyTimeout is how long a program may take to start, on a busy machine.
const readyTimeout = 60 * time.Second

// Options of an installation.
type Options struct {
	Nodes     int                // imservers
	Redis     []redistest.Option // how redis-server is started
	NodeEnv   []string           // more settings of the imservers
	WebAPIEnv []string           // more settings of webapi
	Narrow    int                // bytes that the kernel keeps on each side of a proxy of what Redis sends; 0: its choice
	NoRedis   bool               // do not start Redis, nor wait for anything: see StartRedis
	RedisURL  string             // a Cluster or Sentinels that the test has started, in place of a Redis behind proxies
}

// Rig is one installation.
type Rig struct {
	T       testing.TB
	Host    string // address of everything in it
	Redis   *redistest.Server
	Nodes   []*Node
	WebAPI  *proc.Program
	Proxy   *proxy.Proxy // of webapi to Redis
	API     *api.API
	Dir     string // logs and ledgers
	bin     proc.Binaries
	options Options
	first   int // port
}

// Node is one imserver.
type Node struct {
	*proc.Program
	Proxy *proxy.Proxy // to Redis
	Addr  string       // public listener
}

// Start runs an installation and waits until it is ready.
func Start(t testing.TB, bin proc.Binaries, o Options) *Rig {
	t.Helper()
	host, first := freePlace(t)
	r := &Rig{T: t, Host: host, first: first, Dir: t.TempDir(), bin: bin, options: o}
	t.Cleanup(r.keepFailed)
	if !o.NoRedis && o.RedisURL == "" {
		r.StartRedis()
	}
	r.API = api.New("http://"+r.at(webapiPort), APIKey)
	t.Cleanup(r.API.Close)
	for range o.Nodes {
		r.AddNode()
	}
	r.Proxy = r.proxy(webapiProxy)
	r.WebAPI = r.program("webapi", bin.WebAPI, r.at(webapiPort), r.at(webapiAdmin), r.redisBy(r.Proxy), o.WebAPIEnv,
		"IM_API_KEYS="+APIKey)
	r.start(r.WebAPI)
	if !o.NoRedis {
		r.WaitReady()
	}
	return r
}

// StartRedis starts Redis of an installation that was started without it.
func (r *Rig) StartRedis() {
	r.T.Helper()
	r.Redis = redistest.Start(r.T, append(r.options.Redis, redistest.At(r.at(redisPort)))...)
	r.T.Cleanup(func() { // before Redis: a node that cannot sign off says so with its exit code
		for _, n := range r.Nodes {
			n.End()
		}
	})
}

// WaitReady waits until every program says that it is ready and every node is offered to clients.
func (r *Rig) WaitReady() {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), readyTimeout)
	defer cancel()
	running := 0
	for _, n := range r.Nodes {
		if err := n.Err(); err != nil {
			r.T.Fatal(err)
		}
		if !n.Running() {
			continue // the test has ended it
		}
		running++
		if err := n.Ready(ctx); err != nil {
			r.T.Fatal(err)
		}
	}
	if err := r.WebAPI.Ready(ctx); err != nil {
		r.T.Fatal(err)
	}
	Eventually(r.T, readyTimeout, "all nodes in the registry", func() bool {
		nodes, err := r.API.Nodes(ctx)
		return err == nil && len(nodes) >= running
	})
}

// AddNode starts one more imserver and returns without waiting for it.
func (r *Rig) AddNode() *Node {
	r.T.Helper()
	i := len(r.Nodes)
	p := r.proxy(proxyPort + 10*i)
	name := fmt.Sprintf("node%d", i+1)
	n := &Node{Proxy: p, Addr: r.at(nodePort + 10*i)}
	n.Program = r.program(name, r.bin.IMServer, n.Addr, r.at(adminPort+10*i), r.redisBy(p), r.options.NodeEnv,
		"IM_NODE_ID="+name, "IM_DRAIN_TIMEOUT=5s", "IM_OFFLINE_GRACE=2s")
	r.Nodes = append(r.Nodes, n)
	r.start(n.Program)
	return n
}

// proxy opens one to Redis.
func (r *Rig) proxy(port int) *proxy.Proxy {
	r.T.Helper()
	p, err := proxy.Listen(r.at(port), r.at(redisPort))
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(p.Close)
	p.Narrow(r.options.Narrow)
	return p
}

func (r *Rig) program(name, path, addr, admin, redis string, more []string, env ...string) *proc.Program {
	env = append(env, "IM_LISTEN="+addr, "IM_ADMIN_LISTEN="+admin, "IM_REDIS_URL="+redis, "IM_SIGNING_KEYS="+SigningKeys,
		"IM_LOG_LEVEL=debug")
	return proc.New(proc.Options{
		Name: name, Path: path, Env: append(env, more...), Admin: admin, Log: filepath.Join(r.Dir, name+".log"),
	})
}

func (r *Rig) start(p *proc.Program) {
	r.T.Helper()
	if err := p.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() {
		p.End()
		if err := p.Err(); err != nil {
			r.T.Error(err)
		}
		r.inspect(p)
	})
}

// keepFailed leaves logs and ledgers of a failed test where they can be read.
func (r *Rig) keepFailed() {
	if r.T.Failed() {
		r.T.Logf("logs and ledgers: %s", r.Keep())
	}
}

// RedisURL is Redis without a proxy.
func (r *Rig) RedisURL() string { return cmp.Or(r.options.RedisURL, "redis://"+r.at(redisPort)) }

// redisBy is Redis as a program finds it that has a proxy of its own.
func (r *Rig) redisBy(p *proxy.Proxy) string { return cmp.Or(r.options.RedisURL, "redis://"+p.Addr()) }

func (r *Rig) at(port int) string { return net.JoinHostPort(r.Host, fmt.Sprint(r.first+port)) }

// freePlace picks an address of 127.0.0.0/8, all of which is the loopback interface on Linux, and a range of ports below
// those of outgoing connections. Nothing else listens on that address, so a program that was killed finds its port free;
// but a program that listens on all addresses may have one of the ports, so each is tried.
func freePlace(t testing.TB) (host string, first int) {
	t.Helper()
	for range 100 {
		host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(250))
		first := 10_000 + portSpan*rand.IntN(200)
		if allFree(host, first) {
			return host, first
		}
	}
	t.Fatal("no address of 127.0.0.0/8 can be listened on; these tests need Linux")
	return "", 0
}

func allFree(host string, first int) bool {
	for port := first; port < first+portSpan; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// Keep moves what the rig wrote to a folder that outlives the test, and returns it.
func (r *Rig) Keep() string {
	dir, err := os.MkdirTemp("", "imtier-rig-")
	if err != nil {
		return r.Dir
	}
	if err := os.CopyFS(dir, os.DirFS(r.Dir)); err != nil {
		r.T.Logf("keep the logs: %v", err)
	}
	return dir
}
