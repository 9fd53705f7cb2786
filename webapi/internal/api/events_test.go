package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/store"
)

// stream is an open event stream.
type stream struct {
	t      *testing.T
	resp   *http.Response
	cancel context.CancelFunc
	lines  *bufio.Reader
	id     string // the last that came
}

// sse is one event, or, without a name, what only moves the place.
type sse struct {
	name, id, data string
	event          imhelper.Event
}

func (f *fixture) stream(query, lastID string) *stream {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.http.URL+"/v1/events"+query, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // stream.close does
	if err != nil {
		f.t.Fatal(err)
	}
	s := &stream{t: f.t, resp: resp, cancel: cancel, lines: bufio.NewReader(resp.Body), id: lastID}
	f.t.Cleanup(s.close)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(resp.Body)
		f.t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	return s
}

func (s *stream) close() { s.cancel(); s.resp.Body.Close() }

// block reads up to the next empty line.
func (s *stream) block() (e sse, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "":
			if line == "" {
				return e, nil
			}
		case "event":
			e.name = value
		case "id":
			e.id, s.id = value, value
		case "data":
			e.data = value
			if err := json.Unmarshal([]byte(value), &e.event); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// next reads the next event.
func (s *stream) next() sse {
	s.t.Helper()
	watchdog := time.AfterFunc(20*time.Second, s.cancel)
	defer watchdog.Stop()
	for {
		e, err := s.block()
		if err != nil {
			s.t.Fatalf("waiting for an event: %v", err)
		}
		if e.name != "" {
			return e
		}
	}
}

func (f *fixture) join(clientID string, groups ...string) {
	f.t.Helper()
	if _, err := f.store.JoinGroups(f.t.Context(), clientID, groups, store.JoinOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

func TestEventsAreStreamed(t *testing.T) {
	f := start(t)
	f.join("ann", "before")
	all, anns, online := f.stream("", ""), f.stream("?clientId=ann", ""), f.stream("?type=online,offline", "")
	for _, s := range []*stream{all, anns, online} {
		if e, err := s.block(); err != nil || e.name != "" { // retry
			t.Fatalf("begins with %+v, %v", e, err)
		}
		if e, err := s.block(); err != nil || e.id == "" || e.name != "" {
			t.Fatalf("begins with %+v, %v", e, err)
		}
	}
	f.connected("bob", "web")
	e := all.next()
	f.join("ann", "g")
	if e.name != "online" || e.event.ClientID != "bob" || e.event.Device != "web" || e.event.Node != "node-1" ||
		e.event.Time == 0 || e.event.Seq == 0 || string(e.event.Meta) != `{"nick":"N"}` || e.event.Type != "online" || e.id == "" {
		t.Errorf("first event: %+v", e)
	}
	if e := all.next(); e.name != "join" || e.event.ClientID != "ann" || e.event.Group != "g" {
		t.Errorf("second event: %+v", e)
	}
	if e := anns.next(); e.name != "join" || e.event.Group != "g" {
		t.Errorf("ann's first: %+v", e)
	}
	if e := online.next(); e.name != "online" || e.event.ClientID != "bob" {
		t.Errorf("first of its type: %+v", e)
	}
}

// Wherever a stream is cut, the next one goes on: nothing is left out, nothing comes twice, and all have one order.
func TestStreamsResumeExactly(t *testing.T) {
	f := start(t)
	s := f.stream("", "")
	if _, err := s.block(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.block(); err != nil {
		t.Fatal(err)
	}
	const n = 600
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < n; i += 6 { // up to six in a millisecond, over all partitions
			groups := make([]string, 6)
			for k := range groups {
				groups[k] = fmt.Sprint(i + k)
			}
			if i%12 == 0 {
				f.join(fmt.Sprint("c", i), groups...)
				continue
			}
			for k, g := range groups {
				f.join(fmt.Sprint("c", i+k), g)
			}
		}
	}()
	var got []string
	for cut := 0; len(got) < n; cut++ {
		for range 1 + cut%7 {
			if len(got) == n {
				break
			}
			e := s.next()
			got = append(got, e.event.Group)
		}
		s.close()
		s = f.stream("", s.id)
	}
	<-done
	f.join("last", "last")
	if e := s.next(); e.event.Group != "last" {
		t.Errorf("after all came %+v", e)
	}
	slices.Sort(got)
	if unique := slices.Compact(slices.Clone(got)); len(unique) != n {
		t.Errorf("%d different events of %d", len(unique), n)
	}
}

func TestStreamTellsWhatIsLost(t *testing.T) {
	f := start(t)
	s := f.stream("", "")
	f.join("ann", "one")
	s.next()
	f.join("ann", "two")
	p := f.store.Partition("ann")
	eventsKey := f.redis.Do("EVAL", `for _, k in ipairs(redis.call('KEYS', 'im:*:events')) do
		local last = redis.call('XREVRANGE', k, '+', '-', 'COUNT', 1)[1]
		if last and string.find(last[2][2], '"two"') then redis.call('XTRIM', k, 'MAXLEN', 0) return k end
	end`, "0")
	if eventsKey == "" || p < 0 {
		t.Fatal("no events were trimmed")
	}
	f.join("ann", "three")
	again := f.stream("?type=join", s.id)
	if e := again.next(); e.name != "lost" || e.event.Since == 0 || e.event.Time < e.event.Since || e.id != "" {
		t.Errorf("first came %+v", e)
	}
	for e := again.next(); e.event.Group != "three"; e = again.next() {
		if e.event.Group != "two" { // the open stream may have read it before
			t.Errorf("then came %+v", e)
		}
	}
	if again := f.stream("?clientId=ann", s.id); again.next().name != "lost" {
		t.Error("a stream of one client is not told")
	}
}

func TestBadStreamRequests(t *testing.T) {
	f := start(t)
	f.call(http.MethodGet, "/v1/events?type=online,nonsense", "").problem(http.StatusBadRequest, codeInvalidField, "type")
	f.call(http.MethodGet, "/v1/events?clientId=%00", "").problem(http.StatusBadRequest, codeInvalidField, "clientId")
	f.call(http.MethodGet, "/v1/events?x=1", "").problem(http.StatusBadRequest, codeUnknownField, "x")
	f.call(http.MethodGet, "/v1/events", "", "X-None", "1").problem(http.StatusUnauthorized, codeUnauthorized, "")
	for _, bad := range []string{"x", "1-2", "1-2-3-4", "01-2-3", "1-5000-3", "-1-2-3", "9999999999999-1-1", "99999999999999999999-1-1"} {
		f.call(http.MethodGet, "/v1/events", "", "Last-Event-ID", bad, "X-API-Key", apiKey).
			problem(http.StatusBadRequest, codeInvalidField, "Last-Event-ID")
	}
	for range maxStreams {
		f.stream("?clientId=a", "")
	}
	f.call(http.MethodGet, "/v1/events", "").problem(http.StatusTooManyRequests, codeTooManyStreams, "")
}

func TestStreamSurvivesALostRedis(t *testing.T) {
	f := start(t)
	s := f.stream("", "")
	f.join("ann", "one")
	s.next()
	f.redis.Kill()
	f.call(http.MethodGet, "/v1/events", "").problem(http.StatusServiceUnavailable, codeUnavailable, "")
	f.redis.Restart()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := f.store.JoinGroups(t.Context(), "ann", []string{"two"}, store.JoinOptions{}); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if e := s.next(); e.event.Group != "two" {
		t.Errorf("then came %+v", e)
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	var h *imhelper.Helper
	f := start(t, func(o *Options) { h = o.Helper })
	s := f.stream("", "")
	h.Close()
	for {
		if _, err := s.block(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			break
		}
	}
	f.call(http.MethodGet, "/v1/events", "").problem(http.StatusServiceUnavailable, codeUnavailable, "")
}

// A stream on which nothing happens says so now and then, with a place from which to resume.
func TestIdleStreamsHaveAHeartbeat(t *testing.T) {
	const every, scan = 3 * time.Second, 2 * time.Second
	f := start(t, func(o *Options) { o.EventHeartbeat = every })
	s := f.stream("", "")
	watchdog := time.AfterFunc(40*time.Second, s.cancel)
	defer watchdog.Stop()
	var last time.Time
	place, quickest, longest := "", time.Hour, time.Duration(0)
	again := 0           // heartbeats that stay at a place: while Redis does not answer in time
	for i := 0; i < 4; { // what to do after a break, the first place, two heartbeats
		e, err := s.block()
		if err != nil || e.name != "" || i > 0 && e.id == "" {
			t.Fatalf("block %d: %+v, %v", i, e, err)
		}
		if i > 0 && e.id == place {
			if again++; again > 2 {
				t.Fatalf("block %d: %+v, once more", i, e)
			}
			last = time.Now()
			continue
		}
		if took := time.Since(last); i > 1 {
			quickest, longest = min(quickest, took), max(longest, took)
		}
		last, place = time.Now(), e.id
		i++
	}
	// A busy machine may make one of them late, and the next one seem early.
	if longest < every-100*time.Millisecond || quickest > every+2*scan {
		t.Errorf("heartbeats came after %v and %v", quickest, longest)
	}
	if every, promised := heartbeat+scan, 15*time.Second; every > promised {
		t.Errorf("by default a heartbeat comes after up to %v, promised are %v", every, promised)
	}
}

// Who does not read is cut off, when the kernels hold all that they can.
func TestAStuckReaderIsCutOff(t *testing.T) {
	const patience = 500 * time.Millisecond
	events := make([]imhelper.Event, 100)
	for i := range events {
		events[i] = imhelper.Event{Type: "join", ClientID: strings.Repeat("c", 100), Group: strings.Repeat("g", 100)}
	}
	ended := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := &eventStream{w: w, out: http.NewResponseController(w), began: func() {}, heartbeat: heartbeat, patience: patience}
		for {
			if err := s.write(events, "1-0-0"); err != nil {
				ended <- err
				return
			}
		}
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, errReader) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still waits for the reader")
	}
}
