package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/imhelper"
)

func TestStoppedNodeSaysGoodbye(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1})
	const n = 40
	conns := make([]*client.Conn, n)
	names := make([]string, n)
	for i := range conns {
		names[i] = fmt.Sprint("client-", i)
		conns[i] = r.Dial(names[i], client.V1)
	}
	codes := make([]int, n)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			var err error
			for err == nil {
				_, err = c.Next(ctx)
			}
			codes[i] = client.CloseCode(err)
		})
	}
	watch := r.NewStopwatch()
	code, took, err := r.Nodes[0].Stop(t.Context())
	took = watch.Less(took)
	wg.Wait()
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if took > 10*time.Second {
		t.Errorf("it took %v to stop, the drain time is 5s", took)
	}
	for i, c := range codes {
		if c != 4000 {
			t.Errorf("client %d was closed with %d, want 4000", i, c)
		}
	}
	rig.Eventually(t, patience, "the registry is empty", func() bool {
		nodes, err := r.API.Nodes(t.Context())
		return err == nil && len(nodes) == 0
	})
	rig.Eventually(t, patience, "all are offline", func() bool { return nobodyOnline(t.Context(), r, names) })
	for _, id := range names {
		if c := look(t, r, id); len(c.Connections) != 0 {
			t.Errorf("%s still has connections: %+v", id, c)
		}
	}
}

// look asks for a client.
func look(t *testing.T, r *rig.Rig, id string) (c api.Client) {
	t.Helper()
	rig.Sure(t, func() (err error) {
		c, err = r.API.Client(t.Context(), id)
		return err
	})
	return c
}

func nobodyOnline(ctx context.Context, r *rig.Rig, names []string) bool {
	online, err := r.API.Online(ctx, names...)
	for _, is := range online {
		if is {
			return false
		}
	}
	return err == nil && len(online) == len(names)
}

func TestKilledNodeLosesNothing(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	clients := r.ConnectMany(16, "client", "room")
	var keys []string
	send := func(i int) {
		key := fmt.Sprint("m", i)
		m := api.Message{ID: key, Data: rig.Data(key)}
		rig.Sure(t, func() (err error) {
			if i%2 == 0 {
				_, err = r.API.SendGroup(t.Context(), "room", m)
				return err
			}
			m.To = nil
			for _, c := range clients {
				m.To = append(m.To, c.ID())
			}
			_, err = r.API.Send(t.Context(), m)
			return err
		})
		keys = append(keys, key)
	}
	for i := range 100 {
		if i == 30 {
			r.Nodes[0].Kill()
		}
		send(i)
	}
	for _, c := range clients {
		rig.Eventually(t, patience, c.ID()+" is on the other node", func() bool {
			return strings.HasPrefix(c.Node(), "node2") && c.Ledger().Connected()
		})
		for _, key := range keys {
			rig.Eventually(t, patience, c.ID()+" has "+key, func() bool { return rig.Has(c, key) })
			if n := rig.Count(c, key); n != 1 {
				t.Errorf("%s got %s %d times", c.ID(), key, n)
			}
		}
	}
}

func TestKilledNodesClientsGoOfflineOnce(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	h, err := imhelper.New(t.Context(), imhelper.Options{RedisURL: r.RedisURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	var mu sync.Mutex
	seen := make(map[string]string) // clientId → its events in order
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	var consumed atomic.Bool
	wg.Go(func() {
		_ = h.Events(t.Context(), "rig", func(_ context.Context, e imhelper.Event) error {
			mu.Lock()
			defer mu.Unlock()
			seen[e.ClientID] += e.Type + " "
			return nil
		}, imhelper.Ready(func() { consumed.Store(true) }))
	})
	rig.Eventually(t, patience, "events are consumed", consumed.Load)

	const n = 20
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("client-", i)
		keep(t, r.Dial(names[i], client.V1)) // nobody reconnects
	}
	var gone, stay []string
	for _, id := range names {
		c := look(t, r, id)
		if len(c.Connections) != 1 {
			t.Fatalf("%s: %+v", id, c)
		}
		if strings.HasPrefix(c.Connections[0].Node, "node1") {
			gone = append(gone, id)
		} else {
			stay = append(stay, id)
		}
	}
	if len(gone) == 0 || len(stay) == 0 {
		t.Fatalf("%d and %d clients on the two nodes", len(gone), len(stay))
	}
	watch := r.NewStopwatch()
	r.Nodes[0].Kill()
	took := rig.Eventually(t, 3*offlineWithin, "the killed node's clients are offline", func() bool {
		return nobodyOnline(t.Context(), r, gone)
	})
	t.Logf("offline %v after the kill", took.Round(100*time.Millisecond))
	if took := watch.Less(took); took > offlineWithin {
		t.Errorf("it took %v until they were offline", took)
	}
	history := func(id string) string {
		mu.Lock()
		defer mu.Unlock()
		return strings.TrimSpace(seen[id])
	}
	for _, id := range gone {
		rig.Eventually(t, patience, id+"'s events", func() bool { return strings.HasSuffix(history(id), "offline") })
	}
	rig.Never(t, time.Second, "an event too many", func() bool {
		return slices.ContainsFunc(gone, func(id string) bool { return history(id) != "online offline" }) ||
			slices.ContainsFunc(stay, func(id string) bool { return history(id) != "online" })
	})
}

func TestWebAPIRestartDisconnectsNobody(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	clients := r.ConnectMany(10, "client", "room")
	r.WebAPI.Kill()
	if err := r.WebAPI.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.WebAPI.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.Sure(t, func() error {
		_, err := r.API.SendGroup(t.Context(), "room", api.Message{ID: "after", Data: rig.Data("after")})
		return err
	})
	for _, c := range clients {
		rig.Eventually(t, patience, c.ID()+" has the message", func() bool { return rig.Has(c, "after") })
		if n := c.Starts(); n != 1 {
			t.Errorf("%s connected %d times", c.ID(), n)
		}
	}
}
