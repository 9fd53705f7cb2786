package imserver

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
	"github.com/imtier/imtier/pkg/ticket"
)

// session returns the token of a client's hello.
func (k *client) session() string {
	k.t.Helper()
	k.wait("hello", func(all []frame) bool { return len(all) > 0 })
	if s := k.frames()[0].Session; s != "" {
		return "?session=" + s
	}
	k.t.Fatalf("no session in %s", k.frames()[0].raw)
	return ""
}

// refused returns the HTTP status of a handshake, 101 when it was let in.
func refused(t *testing.T, url string) int {
	t.Helper()
	ws, resp, err := websocket.Dial(context.Background(), url, &websocket.DialOptions{HTTPClient: web, Subprotocols: []string{protocol.Subprotocol}})
	if err == nil {
		ws.CloseNow()
		return http.StatusSwitchingProtocols
	}
	if resp == nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestSessionResumesOnAnotherNodeOnce(t *testing.T) {
	redis := redistest.Start(t)
	one, two := start(t, redis.URL()), start(t, redis.URL())
	st := open(t, redis.URL())
	first := one.connect(true, ticket.Claims{ClientID: "ann", Device: "phone"})
	session := first.session()
	second := dial(t, two.url+session, true) // the first is still open: its node may as well be dead
	first.expectClose(protocol.ReasonHandedOver.Code())
	publisher{t, st}.inbox("to the second", "ann")
	second.expect("to the second")
	if code := refused(t, one.url+session); code != http.StatusConflict {
		t.Errorf("a session was used twice: %d", code)
	}
	second.ws.CloseNow()
	eventually(t, "the second is signed off", func() bool {
		c, err := st.Client(context.Background(), "ann")
		return err == nil && len(c.Connections) == 0
	})
	dial(t, one.url+second.session(), true)
	if code := refused(t, one.url+"?session=x"+session[9:]); code != http.StatusUnauthorized {
		t.Errorf("a forged session: %d", code)
	}
}

// A client that is told to stay away may leave its socket open and never read; its session is over all the same.
func TestForcedOfflineEndsTheSessionAtOnce(t *testing.T) {
	redis := redistest.Start(t)
	n := start(t, redis.URL())
	st := open(t, redis.URL())
	ws, resp, err := websocket.Dial(context.Background(), n.url+sign(t, ticket.Claims{ClientID: "ann"}),
		&websocket.DialOptions{HTTPClient: web, Subprotocols: []string{protocol.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	defer ws.CloseNow()
	_, hello, err := ws.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	session := decode(t, hello).Session
	kicked := time.Now()
	if _, err := st.Kick(context.Background(), "ann", "", "", protocol.ReasonForcedOffline.Code()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is signed off", func() bool {
		c, err := st.Client(context.Background(), "ann")
		return err == nil && len(c.Connections) == 0
	})
	if n.state().Connections != 1 && time.Since(kicked) < 3*time.Second { // then the socket goes as well
		t.Error("it was signed off only when its socket was gone")
	}
	// Neither does a comparison with Redis bring it back: its socket may be there, the connection is over.
	roll := n.srv.node.Load().roll
	compare := func(ctx context.Context) error { return roll.Compare(ctx, func(err error) { t.Error(err) }) }
	for _, again := range []func(context.Context) error{compare, roll.Restore} {
		if err := again(context.Background()); err != nil {
			t.Fatal(err)
		}
		if c, err := st.Client(context.Background(), "ann"); err != nil || len(c.Connections) != 0 {
			t.Errorf("it is registered again: %+v %v", c, err)
		}
	}
	if code := refused(t, n.url+"?session="+session); code != http.StatusConflict {
		t.Errorf("a forced-offline client came back by its session: %d", code)
	}
}
