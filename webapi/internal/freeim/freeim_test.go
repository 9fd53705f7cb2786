package freeim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

const (
	formType    = "application/x-www-form-urlencoded"
	signingKeys = "k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// rig is the handler on a real Redis, with one imserver registered.
type rig struct {
	t       *testing.T
	im      *imhelper.Helper
	store   *store.Store
	handler http.Handler
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	ctx := t.Context()
	redis := redistest.Start(t)
	s, err := store.Open(ctx, store.Options{URL: redis.URL(), Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	im, err := imhelper.New(ctx, imhelper.Options{Store: s, SigningKeys: signingKeys})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RenewNode(ctx, store.Node{ID: "n1", URL: "ws://node.example/ws", Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	redis.KeepNode("n1")
	return &rig{t, im, s, New(im, o)}
}

// post sends fields, given as name, value, name, value.
func (r *rig) post(path string, fields ...string) (status int, answer map[string]any) {
	r.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	if len(form) > 0 { // jQuery sends no type when there is nothing
		req.Header.Set("Content-Type", formType)
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) (status int, answer map[string]any) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("%s: %v in %q", req.URL, err, w.Body)
	}
	return w.Code, answer
}

func (r *rig) ok(path string, fields ...string) map[string]any {
	r.t.Helper()
	status, answer := r.post(path, fields...)
	if status != http.StatusOK || answer["code"] != 0.0 {
		r.t.Fatalf("%s %v: %d %v", path, fields, status, answer)
	}
	return answer
}

func (r *rig) last(s protocol.Stream) imhelper.HistoryMessage {
	r.t.Helper()
	h, err := r.im.History(context.Background(), s, imhelper.HistoryQuery{Limit: 1})
	if err != nil || len(h.Messages) != 1 {
		r.t.Fatalf("history of %v: %v %v", s, h, err)
	}
	return h.Messages[0]
}

func TestPreConnectGivesAURL(t *testing.T) {
	r := newRig(t, Options{})
	first := r.ok("/ws/pre-connect")
	if id, _ := first["websocketId"].(string); len(id) != 36 {
		t.Errorf("websocketId of a new client: %v", first["websocketId"])
	}
	if server, _ := first["server"].(string); !strings.HasPrefix(server, "ws://node.example/ws?token=") {
		t.Errorf("server: %v", first["server"])
	}
	if again := r.ok("/ws/pre-connect", "WEBSOCKETID", "mine"); again["websocketId"] != "mine" {
		t.Errorf("websocketId of a known client: %v", again["websocketId"])
	}
}

func TestMessagesTravelAsJSONStrings(t *testing.T) {
	r := newRig(t, Options{})
	const text = `{"type":"chanmsg","msg":{"content":"你好 \"quoted\" <b>"}}`
	cases := []struct {
		path   string
		fields []string
		in     protocol.Stream
		from   string
	}{
		{"/ws/send-channelmsg", []string{"websocketId", "a", "channel", "room", "message", text}, protocol.GroupOf("room"), "a"},
		{"/ws/send-broadcast", []string{"websocketId", "a", "channel", "room", "message", text}, protocol.AllStream(), "a"},
		{"/ws/send-broadcast", []string{"message", text}, protocol.AllStream(), ""},
		{"/ws/send-msg", []string{"senderwebsocketid", "a", "ReceiveWebsocketId", "b", "Message", text, "isReceipt", "true"}, protocol.InboxOf("b"), "a"},
	}
	for _, c := range cases {
		r.ok(c.path, c.fields...)
		m := r.last(c.in)
		var inner string
		if err := json.Unmarshal(m.Data, &inner); err != nil || inner != text || m.From != c.from {
			t.Errorf("%s: %s from %q, %v", c.path, m.Data, m.From, err)
		}
	}
}

func TestChannelsAreJoinedUntilOffline(t *testing.T) {
	r := newRig(t, Options{})
	if list := r.ok("/ws/get-channels")["channels"]; fmt.Sprint(list) != "[]" {
		t.Errorf("channels at first: %v", list)
	}
	r.ok("/ws/subscr-channel", "websocketid", "a", "channel", "room")
	if list := r.ok("/ws/get-channels")["channels"]; fmt.Sprint(list) != "[map[chan:room online:0]]" {
		t.Errorf("channels: %v", list)
	}
	groups, err := r.store.GroupsOf(t.Context(), "a")
	if err != nil || len(groups) != 1 || groups[0].Group != "room" || !groups[0].UntilOffline {
		t.Errorf("memberships: %v %v", groups, err)
	}
}

func TestOfflineClosesConnections(t *testing.T) {
	r := newRig(t, Options{})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		status, answer := r.do(httptest.NewRequest(method, "/ws/offline?websocketId=a", nil))
		if status != http.StatusOK || answer["code"] != 0.0 {
			t.Errorf("%s: %d %v", method, status, answer)
		}
		if status, _ = r.do(httptest.NewRequest(method, "/ws/offline", nil)); status != http.StatusBadRequest {
			t.Errorf("%s without an id: %d", method, status)
		}
	}
}

func TestMultipartFormsAreTaken(t *testing.T) {
	r := newRig(t, Options{})
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	_ = m.WriteField("message", "hello")
	_ = m.Close()
	req := httptest.NewRequest(http.MethodPost, "/ws/send-broadcast", &body)
	req.Header.Set("Content-Type", m.FormDataContentType())
	if status, answer := r.do(req); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if m := r.last(protocol.AllStream()); string(m.Data) != `"hello"` {
		t.Errorf("data: %s", m.Data)
	}
}

func TestWrongRequestsAreNamed(t *testing.T) {
	r := newRig(t, Options{})
	big := strings.Repeat("x", r.im.MaxMessage())
	cases := []struct {
		name, path string
		fields     []string
		status     int
		message    string
	}{
		{"missing", "/ws/subscr-channel", []string{"websocketId", "a"}, 400, "channel is missing"},
		{"no receiver", "/ws/send-msg", []string{"senderWebsocketId", "a", "message", "x"}, 400, "receiveWebsocketId is missing"},
		{"no message", "/ws/send-broadcast", nil, 400, "message is missing"},
		{"control character", "/ws/pre-connect", []string{"websocketId", "a\x00"}, 400, "websocketId has a control character at byte 1"},
		{"long id", "/ws/pre-connect", []string{"websocketId", strings.Repeat("a", 129)}, 400, "websocketId has 129 bytes, at most 128 are allowed"},
		{"not UTF-8", "/ws/send-broadcast", []string{"message", "\xff"}, 400, `"message" is not valid UTF-8`},
		{"big message", "/ws/send-broadcast", []string{"message", big}, 413, "message has 65538 bytes, at most 65536 are allowed"},
		{"big body", "/ws/send-broadcast", []string{"message", big + big + big + big}, 413, "the body is too large"},
	}
	for _, c := range cases {
		status, answer := r.post(c.path, c.fields...)
		if status != c.status || answer["message"] != c.message || answer["code"] != float64(c.status) {
			t.Errorf("%s: %d %v, want %d %q", c.name, status, answer, c.status, c.message)
		}
	}
	req := httptest.NewRequest(http.MethodPost, "/ws/send-broadcast", strings.NewReader(`{"message":"x"}`))
	req.Header.Set("Content-Type", "application/json")
	if status, _ := r.do(req); status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON body: %d, want 415", status)
	}
}

func TestWithoutNodesAndRedisItSaysSo(t *testing.T) {
	redis := redistest.Start(t)
	s, err := store.Open(t.Context(), store.Options{URL: redis.URL(), Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	im, err := imhelper.New(t.Context(), imhelper.Options{Store: s, SigningKeys: signingKeys})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, im, s, New(im, Options{})}
	if status, answer := r.post("/ws/pre-connect"); status != 503 || answer["message"] != "no imserver takes connections at the moment" {
		t.Errorf("without a node: %d %v", status, answer)
	}
	redis.Stop()
	if status, answer := r.post("/ws/get-channels"); status != 503 || answer["message"] != "Redis is not available at the moment" {
		t.Errorf("without Redis: %d %v", status, answer)
	}
}
