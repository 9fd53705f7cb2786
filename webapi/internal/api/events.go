package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

const (
	// heartbeat is after how long an idle stream says that it lives, unless told otherwise. It is looked at every 2 s, and
	// 15 s are promised; common proxies cut what is silent for 60 s.
	heartbeat = 12 * time.Second
	// eventsRetry is how long a client of the stream waits before it connects again.
	eventsRetry = time.Second
	// writeTimeout is how long a client may take to read a piece, unless told otherwise; then it is cut off, and resumes.
	writeTimeout = 30 * time.Second
	// maxStreams bounds the streams of one webapi: each is a reader of all partitions.
	maxStreams = 100
)

// events streams what happens to clients.
type events struct {
	h         *imhelper.Helper
	room      chan struct{} // one element per stream
	heartbeat time.Duration
	patience  time.Duration // with a client that does not read
}

func (e events) routes() []route {
	r := route{
		method: http.MethodGet, path: "/v1/events", id: "streamEvents", tag: "Events", status: http.StatusOK,
		summary: "Stream what happens to clients",
		detail: "Server-sent events, one for each that happens: `event:` is its type, `data:` its JSON, `id:` its place. " +
			"Without `Last-Event-ID` the stream begins now; with it, behind that event: nothing is left out, and nothing " +
			"comes twice. Events are in one order over all clients. If events behind `Last-Event-ID` are no longer kept, " +
			"or a client reads so slowly that they go before it gets them, `event: lost` comes in their place: they " +
			"happened between its `since` and its `time`. A comment or an `id:` of its own comes at least every 15 " +
			"seconds. Every stream gets all events; to share them among workers use imhelper's Events.",
		in: new(eventsIn), out: new(imhelper.Event), contentType: "text/event-stream",
		problems: []int{http.StatusTooManyRequests},
	}
	b := newBinder(new(eventsIn))
	r.make = func(a *API, r *route) http.HandlerFunc { return e.serve(a, r, b) }
	return []route{r}
}

type eventsIn struct {
	Type     string `query:"type" json:"-" description:"Only these types, separated by commas: online, offline, join, leave, receipt." example:"online,offline"`
	ClientID string `query:"clientId" json:"-" description:"Only what happens to this client."`
	After    string `header:"Last-Event-ID" json:"-" description:"id of the last event that was handled."`
}

func (e events) serve(a *API, r *route, b *binder) http.HandlerFunc {
	count := a.metrics.route(r.id)
	return func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		s := &eventStream{w: w, out: http.NewResponseController(w), heartbeat: e.heartbeat, patience: e.patience}
		s.began = func() { count.observe(r.status, time.Since(start)) }
		err := e.stream(req, b, s)
		switch {
		case s.last.IsZero() && err != nil && req.Context().Err() == nil:
			count.observe(a.fail(w, r, err), time.Since(start))
		case err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, imhelper.ErrUnavailable) && !errors.Is(err, errReader):
			a.log.Error("event stream", zap.Error(err))
		}
	}
}

func (e events) stream(req *http.Request, b *binder, s *eventStream) error {
	in := eventsIn{After: req.Header.Get("Last-Event-ID")}
	if err := b.fill(req, &in); err != nil {
		return err
	}
	select {
	case e.room <- struct{}{}:
		defer func() { <-e.room }()
	default:
		p := problem(http.StatusTooManyRequests, codeTooManyStreams, fmt.Sprintf("this webapi serves %d event streams already", maxStreams))
		p.retryAfter = retrySeconds
		return p
	}
	q := imhelper.EventQuery{After: in.After, ClientID: in.ClientID}
	if in.Type != "" {
		q.Types = strings.Split(in.Type, ",")
	}
	err := e.h.TailEvents(req.Context(), q, s.write)
	var field *imhelper.FieldError
	if errors.As(err, &field) && field.Field == "after" {
		return fieldProblem(codeInvalidField, "Last-Event-ID", field.Problem)
	}
	return err
}

var errReader = errors.New("the reader is gone or too slow")

// eventStream writes events as the WHATWG's server-sent events.
type eventStream struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	began func()
	buf   bytes.Buffer
	last  time.Time // of the last write; zero: nothing was written yet

	heartbeat, patience time.Duration
}

// write sends events, each with the place from which to resume. Without events it is a heartbeat, when it is time for one,
// that moves the place on.
func (s *eventStream) write(events []imhelper.Event, pos string) error {
	s.buf.Reset()
	first := s.last.IsZero()
	switch {
	case first:
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx
		h["X-Content-Type-Options"] = noSniff
		fmt.Fprintf(&s.buf, "retry: %d\n\n", eventsRetry.Milliseconds())
	case len(events) == 0 && time.Since(s.last) < s.heartbeat:
		return nil
	}
	for i := range events {
		e := &events[i]
		data, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
		fmt.Fprintf(&s.buf, "event: %s\n", e.Type)
		if e.Pos != "" {
			fmt.Fprintf(&s.buf, "id: %s\n", e.Pos)
		}
		fmt.Fprintf(&s.buf, "data: %s\n\n", data)
	}
	if len(events) == 0 {
		fmt.Fprintf(&s.buf, ":\nid: %s\n\n", pos)
	}
	// Errors of setting the deadline mean that w cannot do it (a test's recorder).
	_ = s.out.SetWriteDeadline(time.Now().Add(s.patience))
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return errReader
	}
	if err := s.out.Flush(); err != nil {
		return errReader
	}
	s.last = time.Now()
	if first {
		s.began()
	}
	return nil
}
