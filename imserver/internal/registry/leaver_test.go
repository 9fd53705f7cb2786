package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

func open(t *testing.T, redis *redistest.Server) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), store.Options{URL: redis.URL(), Partitions: 16, OfflineGrace: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// When a node stops, its last flush meets the one in the background.
func TestFlushesAtOnce(t *testing.T) {
	st := open(t, redistest.Start(t))
	ctx := context.Background()
	l := NewLeaver(st, zap.NewNop())
	const conns = 2*leaveBatch + 10
	for i := range conns {
		id := fmt.Sprint("client", i)
		conn := protocol.NewConnID(st.Partition(id))
		se := store.Session{ClientID: id, ConnID: conn, Node: "n", Device: "d", JTI: id, JTITTL: time.Minute}
		if i%100 == 0 {
			if _, err := st.Connect(ctx, se); err != nil {
				t.Fatal(err)
			}
		}
		l.Add(store.ConnRef{ClientID: id, ConnID: conn})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := l.Flush(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := l.Waiting(); n != 0 {
		t.Errorf("%d wait after a flush", n)
	}
	for i := 0; i < conns; i += 100 {
		c, err := st.Client(ctx, fmt.Sprint("client", i))
		if err != nil || len(c.Connections) != 0 {
			t.Errorf("client%d: %+v %v", i, c, err)
		}
	}
}

// What cannot be signed off now is kept.
func TestSignOffsSurviveAnOutage(t *testing.T) {
	redis := redistest.Start(t)
	st := open(t, redis)
	l := NewLeaver(st, zap.NewNop())
	l.Add(store.ConnRef{ClientID: "ann", ConnID: protocol.NewConnID(st.Partition("ann"))})
	redis.Kill()
	if err := l.Flush(context.Background()); err == nil || l.Waiting() != 1 {
		t.Errorf("flush: %v, %d wait", err, l.Waiting())
	}
	a := NewAcks(st, zap.NewNop())
	inbox := protocol.InboxOf("ann")
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: {Epoch: 1, Seq: 5}})
	if err := a.Flush(context.Background()); err == nil {
		t.Error("acknowledgements were written to nobody")
	}
	a.Add("ann", "d", map[protocol.Stream]protocol.Position{inbox: {Epoch: 1, Seq: 3}}) // older
	redis.Restart()
	deadline := time.Now().Add(20 * time.Second)
	for l.Flush(context.Background()) != nil || a.Flush(context.Background()) != nil {
		if time.Now().After(deadline) {
			t.Fatal("redis is back and nothing is written")
		}
	}
	// Redis is back, but each of the store's connections to it may have one command left to fail with.
	c, err := connect(st, "j1")
	for n := 2; errors.Is(err, store.ErrUnavailable) && time.Now().Before(deadline); n++ {
		c, err = connect(st, fmt.Sprint("j", n))
	}
	if err != nil || c.Cursors["inbox"].Seq != 5 {
		t.Errorf("cursors %v %v", c, err)
	}
}

// connect registers a connection of ann, whose URL is jti.
func connect(st *store.Store, jti string) (*store.Connected, error) {
	return st.Connect(context.Background(), store.Session{
		ClientID: "ann", ConnID: protocol.NewConnID(st.Partition("ann")), Node: "n", Device: "d", JTI: jti, JTITTL: time.Minute,
	})
}
