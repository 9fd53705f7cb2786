package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// Options say where Redis is and how much of the past it keeps.
type Options struct {
	// URL of Redis. Required unless stated otherwise by the program.
	//
	//	redis://[user:password@]host:port[/db]        one server; rediss:// with TLS; unix:///path/to/redis.sock
	//	redis://host:26379?addr=host2:26379&master_set=mymaster     Sentinel: the hosts are sentinels
	//	redis://host:6379?addr=host2:6379&addr=host3:6379           Cluster: some of its nodes
	URL string

	// Partitions of the address space. It is recorded in Redis on first use and cannot change afterwards.
	// Default 256, at most 4096.
	Partitions int

	HistorySize  int           // messages kept per stream, roughly; default 1000
	HistoryTTL   time.Duration // how long a stream is kept after its last message; default 24h
	EventsSize   int           // events kept per partition, roughly; default 10,000
	OfflineGrace time.Duration // how long after its last connection a client counts as online; default 5s, negative none

	// Embedded says that the URL leads to a miniredis in this process: RESP2, one node, no version to check.
	Embedded bool

	// FlushDelay is how long a command may wait for others to travel with it while some are under way; default not at all.
	// It is for a program in which many goroutines ask for a little each: then all commands go over one connection. Those
	// that make large pipelines themselves lose by it.
	FlushDelay time.Duration

	Name string // shown by CLIENT LIST; default "imtier"
}

// Limits of time and size. A Redis that says nothing makes every call fail with ErrUnavailable within 3 seconds:
// commandTimeout bounds the call, the others bound what happens below it.
const (
	commandTimeout = 2500 * time.Millisecond // one call, dialing included
	dialTimeout    = 2 * time.Second         // one TCP and TLS handshake
	writeTimeout   = 2 * time.Second         // without an answer to a ping: the connection is dead
	// embeddedTimeout is all of these for a miniredis: its scripts run hundreds of times slower than Redis', and it
	// does not die alone.
	embeddedTimeout = 10 * time.Second
	pingGap         = time.Second // of silence before a ping

	// maxInFlight bounds concurrent calls of one Store. Beyond it callers wait under their context; the
	// client's own queue (1024 places) would make them wait without one.
	maxInFlight = 768

	topologyRefresh = 5 * time.Second // how stale the picture of a Sentinel set or a Cluster may be

	minRedisMajor = 7 // XADD <epoch>-*, and a script cache that neither restart nor replication preserves
)

const (
	defaultHistorySize  = 1000
	defaultEventsSize   = 10_000 // 2.5 million in 256 partitions: at 1,000 a second 40 minutes, at some 200 bytes 500 MB
	defaultHistoryTTL   = 24 * time.Hour
	defaultOfflineGrace = 5 * time.Second
)

// Store is a connection to Redis and everything imtier keeps there. It is safe for concurrent use.
type Store struct {
	opts    Options              // with defaults filled in
	conn    rueidis.ClientOption // how to reach Redis, for connections that are not the client's
	client  rueidis.Client
	keys    keyspace
	flight  chan struct{} // one token per call under way
	timeout time.Duration // of one call
	lives   lives         // which publish script each partition accepts; see fence.go
	groups  groups        // puts sends together
	hints   hints         // where streams were appended to

	suspects suspects // nodes that may be dead

	cluster                 bool   // more than one server: a script touches one partition
	sentinel                bool   // the server may become another one, see master.go
	historySize, historyTTL string // as scripts take them
	eventsSize              string
}

// Open connects to Redis and checks that it can be used: its version and the number of partitions it was set up
// with. The error is ErrUnavailable, which another attempt may cure, or final and says what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	co, err := clientOption(o)
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(co)
	if err != nil {
		return nil, wrap("connect to redis", err)
	}
	s := &Store{
		opts:    o,
		conn:    co,
		client:  client,
		keys:    newKeyspace(o.Partitions),
		flight:  make(chan struct{}, maxInFlight),
		timeout: commandTimeout,
	}
	s.cluster = client.Mode() == rueidis.ClientModeCluster
	s.sentinel = client.Mode() == rueidis.ClientModeSentinel
	s.historySize = strconv.Itoa(o.HistorySize)
	s.eventsSize = strconv.Itoa(o.EventsSize)
	s.hints.renewAfter = o.HistoryTTL / renewals
	s.historyTTL = strconv.FormatInt((o.HistoryTTL + s.hints.renewAfter).Milliseconds(), 10)
	if o.Embedded {
		s.timeout = embeddedTimeout
	}
	s.lives.init(o.Partitions, s.cluster)
	if err := s.check(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// check refuses a server that would work wrongly and learns the fences.
func (s *Store) check(ctx context.Context) error {
	if !s.opts.Embedded {
		info, err := s.do(ctx, s.client.B().Info().Section("server").Build()).ToString()
		if err != nil {
			return wrap("read redis version", err)
		}
		if err := checkVersion(info); err != nil {
			return err
		}
	}
	if err := s.checkPartitions(ctx); err != nil {
		return err
	}
	return s.Confirm(ctx) // a new Redis gets its first fence: who followed a stream before would take the first message for that of a later life
}

// Close ends the connections. Calls under way fail.
func (s *Store) Close() { s.client.Close() }

// Ping asks Redis for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return wrap("ping", s.do(ctx, s.client.B().Ping().Build()).Error())
}

func (o *Options) fill() error {
	if o.Partitions == 0 {
		o.Partitions = protocol.DefaultPartitions
	}
	if o.Partitions < 1 || o.Partitions > protocol.MaxPartitions {
		return fmt.Errorf("partitions: %d is not between 1 and %d", o.Partitions, protocol.MaxPartitions)
	}
	if o.HistorySize <= 0 {
		o.HistorySize = defaultHistorySize
	}
	if o.EventsSize <= 0 {
		o.EventsSize = defaultEventsSize
	}
	if o.HistoryTTL <= 0 {
		o.HistoryTTL = defaultHistoryTTL
	}
	switch {
	case o.OfflineGrace == 0:
		o.OfflineGrace = defaultOfflineGrace
	case o.OfflineGrace < 0:
		o.OfflineGrace = 0
	}
	if o.Name == "" {
		o.Name = "imtier"
	}
	return nil
}

// clientOption is how imtier uses rueidis: no client-side cache, no connection recycled under a subscription, and
// dead peers found in time. Retries stay on: rueidis repeats only what reads, and what a cluster refused unseen.
func clientOption(o Options) (rueidis.ClientOption, error) {
	co, err := rueidis.ParseURL(o.URL)
	if err != nil {
		return co, fmt.Errorf("redis url: %w", err)
	}
	co.ClientName = o.Name
	co.DisableCache = true
	co.ConnLifetime = 0
	if o.FlushDelay > 0 {
		co.MaxFlushDelay = o.FlushDelay
		co.PipelineMultiplex = -1 // one connection
	}
	co.Dialer.Timeout = dialTimeout
	co.Dialer.KeepAlive = pingGap
	co.ConnWriteTimeout = writeTimeout
	co.Sentinel.Dialer = co.Dialer
	co.Sentinel.TopologyRefreshInterval = topologyRefresh
	co.ClusterOption.ShardsRefreshInterval = topologyRefresh
	if o.Embedded {
		co.ConnWriteTimeout = embeddedTimeout
		co.AlwaysRESP2 = true
		co.ForceSingleClient = true // miniredis answers CLUSTER SLOTS, but is no cluster
		co.ClientSetInfo = rueidis.DisableClientSetInfo
	}
	return co, nil
}

// do runs one command under the Store's timeout.
func (s *Store) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return s.doMulti(ctx, cmd)[0]
}

// doMulti runs commands in one pipeline under the Store's timeout. Those of one partition keep their order.
func (s *Store) doMulti(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	if len(cmds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.cluster {
		return s.doUntilStill(ctx, cmds)
	}
	return s.doAll(ctx, cmds)
}

// doAll runs commands when it is their turn.
func (s *Store) doAll(ctx context.Context, cmds []rueidis.Completed) []rueidis.RedisResult {
	select {
	case s.flight <- struct{}{}:
	case <-ctx.Done():
		return failed(len(cmds), ctx.Err())
	}
	defer func() { <-s.flight }()
	if len(cmds) == 1 {
		return []rueidis.RedisResult{s.client.Do(ctx, cmds[0])}
	}
	return s.client.DoMulti(ctx, cmds...)
}

// failed makes n results of an error that happened before anything was sent.
func failed(n int, err error) []rueidis.RedisResult {
	out := make([]rueidis.RedisResult, n)
	for i := range out {
		out[i] = rueidis.NewErrorResult(err)
	}
	return out
}

// checkVersion reads the answer to INFO server.
func checkVersion(info string) error {
	version := infoField(info, "redis_version")
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return fmt.Errorf("%w: the server names no redis_version; imtier needs Redis %d.0 or later",
			ErrRedisTooOld, minRedisMajor)
	}
	if n < minRedisMajor {
		return fmt.Errorf("%w: found %s, imtier needs %d.0 or later: upgrade the server or set another redis url",
			ErrRedisTooOld, version, minRedisMajor)
	}
	return nil
}

// infoField finds the value of a field in the answer to INFO and the like, or "". By RESP3 that is a text with its format in front.
func infoField(info, name string) string {
	info = strings.TrimPrefix(info, "txt:")
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// checkPartitions records the number of partitions, or compares it with the recorded one.
func (s *Store) checkPartitions(ctx context.Context) error {
	want := s.opts.Partitions
	key, field := s.keys.config(), "partitions"
	rs := s.doMulti(ctx,
		s.client.B().Hsetnx().Key(key).Field(field).Value(strconv.Itoa(want)).Build(),
		s.client.B().Hget().Key(key).Field(field).Build())
	for _, r := range rs {
		if err := r.Error(); err != nil {
			return wrap("record partitions", err)
		}
	}
	have, err := rs[1].AsInt64()
	if err != nil {
		return wrap("read partitions", err)
	}
	if int(have) != want {
		return fmt.Errorf("%w: this redis was set up with %d partitions, the setting says %d: set partitions to %d, "+
			"or use an empty redis", ErrPartitionMismatch, have, want, have)
	}
	return nil
}
