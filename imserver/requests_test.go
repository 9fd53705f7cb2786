package imserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// handle answers requests until the test ends or stop is called.
func handle(t *testing.T, st *store.Store, f func(context.Context, imhelper.Request) (any, error)) (stop func()) {
	t.Helper()
	h, err := imhelper.New(context.Background(), imhelper.Options{Store: st, MaxMessage: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.Handle(ctx, "backend", f); !errors.Is(err, context.Canceled) {
			t.Errorf("Handle ended with %v", err)
		}
		h.Close()
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// reply waits for the answers to a request, and returns the first as "data" or "code: message".
func (k *client) reply(id string) (text string) {
	k.t.Helper()
	k.wait("the answer to "+id, func([]frame) bool { text = k.answered(id); return text != "" })
	return text
}

func (k *client) answered(id string) string {
	for _, f := range k.frames() {
		if f.Type == "reply" && f.ID == id {
			var e struct{ Error *protocol.Refusal }
			if err := json.Unmarshal([]byte(f.raw), &e); err != nil {
				k.t.Fatal(err)
			}
			if e.Error != nil {
				return e.Error.Code + ": " + e.Error.Message
			}
			return string(f.Data)
		}
	}
	return ""
}

// handled asks until a backend answers: the first one makes itself known in its own time.
func (k *client) handled() {
	k.t.Helper()
	n := 0
	eventually(k.t, "a backend answers", func() bool {
		n++
		id := fmt.Sprint("probe", n)
		k.send(fmt.Sprintf(`{"type":"request","id":%q,"data":"probe"}`, id))
		return !strings.HasPrefix(k.reply(id), protocol.RefusedNoHandler)
	})
}

// waiting counts the requests in Redis.
func waiting(redis *redistest.Server) string {
	return redis.Do("EVAL", `local n = 0
		for _, key in ipairs(redis.call('KEYS', 'im:*:requests')) do n = n + redis.call('XLEN', key) end
		return n`, "0")
}

func TestRequestsAreAnswered(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	ann := n.connect(true, ticket.Claims{ClientID: "ann", Device: "phone", Meta: json.RawMessage(`{"nick":"A"}`), MayRequest: true})
	ann.send(`{"type":"request","id":"early","data":1}`)
	if got := ann.reply("early"); !strings.HasPrefix(got, "no_handler: ") {
		t.Errorf("before any backend: %s", got)
	}
	block := make(chan struct{})
	handle(t, st, func(ctx context.Context, r imhelper.Request) (any, error) {
		switch string(r.Data) {
		case `"refuse"`:
			return nil, fmt.Errorf("so: %w", imhelper.Refuse("not_yours", "keep off"))
		case `"fail"`:
			return nil, errors.New("secret")
		case `"big"`:
			return strings.Repeat("x", 1001), nil
		case `"broken"`:
			return make(chan int), nil
		case `"raw"`:
			return json.RawMessage(` {"a": 1}`), nil
		case `"block"`:
			select {
			case <-block:
			case <-ctx.Done():
			}
			return "unblocked", nil
		}
		if r.Time.IsZero() || r.ConnID == "" || r.Node == "" || r.Key != "ann\n"+r.ID {
			t.Errorf("request %+v", r)
		}
		return []string{r.ID, r.ClientID, r.Device, string(r.Meta), string(r.Data)}, nil
	})
	ann.handled()
	for i, c := range []struct{ data, want string }{
		{`{"x":[1]}`, `["3","ann","phone","{\"nick\":\"A\"}","{\"x\":[1]}"]`},
		{`"refuse"`, "not_yours: keep off"},
		{`"fail"`, "failed: the backend failed"},
		{`"big"`, "failed: the backend's reply is too big"},
		{`"broken"`, "failed: the backend's reply is not JSON"},
		{`"raw"`, `{"a":1}`},
	} {
		id := fmt.Sprint(i + 3)
		ann.send(`{"type":"request","id":"` + id + `","data":` + c.data + `}`)
		if got := ann.reply(id); got != c.want {
			t.Errorf("%s: got %s, want %s", c.data, got, c.want)
		}
	}
	ann.send(`{"type":"request","id":"none"}`)
	if got := ann.reply("none"); !strings.HasSuffix(got, `"null"]`) {
		t.Errorf("without data: %s", got)
	}

	for i := range protocol.MaxRequests {
		ann.send(fmt.Sprintf(`{"type":"request","id":"b%d","data":"block"}`, i))
	}
	ann.send(`{"type":"request","id":"b0","data":"block"}`) // again: one answer
	ann.send(`{"type":"request","id":"over","data":1}`)
	if got := ann.reply("over"); !strings.HasPrefix(got, "too_many: ") {
		t.Errorf("one too many: %s", got)
	}
	close(block)
	for i := range protocol.MaxRequests {
		if got := ann.reply(fmt.Sprint("b", i)); got != `"unblocked"` {
			t.Errorf("b%d: %s", i, got)
		}
	}
	ann.send(`{"type":"request","id":"after","data":"raw"}`)
	ann.reply("after")
	times := 0
	for _, f := range ann.frames() {
		if f.Type == "reply" && f.ID == "b0" {
			times++
		}
	}
	if times != 1 {
		t.Errorf("%d answers to one request", times)
	}
	if _, m := n.admin("/metrics"); !strings.Contains(m, `imtier_requests_answered_total{answer="too_many"} 1`) {
		t.Error("answers are not counted")
	}
	// Nothing is left behind.
	eventually(t, "the streams are empty", func() bool { return waiting(redis) == ":0" })
}

func TestRequestsNeedPermissionAndAnID(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	bob := n.connect(true, ticket.Claims{ClientID: "bob"})
	bob.send(`{"type":"request","id":"1","data":1}`)
	if got := bob.reply("1"); !strings.HasPrefix(got, "not_allowed: ") {
		t.Errorf("without mayRequest: %s", got)
	}
	for _, bad := range []string{`{"type":"request","data":1}`, `{"type":"request","id":"` + strings.Repeat("x", 65) + `"}`, `{"type":"request","id":"\n"}`} {
		k := n.connect(true, ticket.Claims{ClientID: "bob", MayRequest: true})
		k.send(bad)
		k.expectClose(protocol.ReasonMisuse.Code())
	}
}

// The answer finds a client that went on by its session on another node: while that connection is open, and also when
// there is none at the moment of answering.
func TestAnswersFollowTheSession(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL()), start(t, redis.URL())
	st := open(t, redis.URL())
	answer := make(chan struct{})
	started := make(chan string, 10)
	handle(t, st, func(ctx context.Context, r imhelper.Request) (any, error) {
		if string(r.Data) == `"probe"` {
			return 1, nil
		}
		started <- r.ID
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return r.ID, nil
	})
	first := one.connect(true, ticket.Claims{ClientID: "ann", MayRequest: true})
	first.handled()
	first.send(`{"type":"request","id":"open"}`)
	<-started
	second := dial(t, two.url+first.session(), true)
	first.expectClose(protocol.ReasonHandedOver.Code())
	other := one.connect(true, ticket.Claims{ClientID: "ann", MayRequest: true}) // another session of the same client
	answer <- struct{}{}
	if got := second.reply("open"); got != `"open"` {
		t.Errorf("got %s", got)
	}

	second.send(`{"type":"request","id":"away"}`)
	<-started
	second.ws.CloseNow()
	eventually(t, "the second is signed off", func() bool {
		c, err := st.Client(context.Background(), "ann")
		return err == nil && len(c.Connections) == 1
	})
	answer <- struct{}{}
	eventually(t, "it is answered", func() bool { return waiting(redis) == ":0" })
	third := dial(t, one.url+second.session(), true)
	if got := third.reply("away"); got != `"away"` {
		t.Errorf("got %s", got)
	}
	for _, f := range other.frames() {
		if f.Type == "reply" {
			t.Errorf("another session got %s", f.raw)
		}
	}
}

func TestUnansweredRequestsTimeOut(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	ended := make(chan error, 1)
	stop := handle(t, st, func(ctx context.Context, r imhelper.Request) (any, error) {
		if string(r.Data) == `"probe"` {
			return 1, nil
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ann := n.connect(true, ticket.Claims{ClientID: "ann", MayRequest: true})
	ann.handled()
	begin := time.Now()
	ann.send(`{"type":"request","id":"slow"}`)
	if got := ann.reply("slow"); !strings.HasPrefix(got, "timeout: ") {
		t.Errorf("got %s", got)
	}
	if took := time.Since(begin); took < 9*time.Second || took > 20*time.Second {
		t.Errorf("timed out after %v", took)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handler's context ended with %v", err)
	}
	stop()
	ann.send(`{"type":"request","id":"nobody"}`) // backends restart: it waits for one
	back := make(chan struct{})
	isBack := sync.OnceFunc(func() { close(back) })
	handle(t, st, func(_ context.Context, r imhelper.Request) (any, error) { isBack(); return r.ID, nil })
	if got := ann.reply("nobody"); got != `"nobody"` {
		t.Errorf("got %s", got)
	}
	<-back
}

func TestRequestsWhileRedisIsAway(t *testing.T) {
	redis := redistest.Start(t)
	n, st := start(t, redis.URL()), open(t, redis.URL())
	ann := n.connect(true, ticket.Claims{ClientID: "ann", MayRequest: true})
	handle(t, st, func(_ context.Context, r imhelper.Request) (any, error) { return r.ID, nil })
	ann.handled()
	redis.Kill()
	ann.send(`{"type":"request","id":"away"}`)
	if got := ann.reply("away"); !strings.HasPrefix(got, "unavailable: ") {
		t.Errorf("got %s", got)
	}
	redis.Restart() // empty
	n2 := 0
	eventually(t, "requests are answered again", func() bool {
		n2++
		id := fmt.Sprint("back", n2)
		ann.send(fmt.Sprintf(`{"type":"request","id":%q}`, id))
		return ann.reply(id) == `"`+id+`"`
	})
}
