package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// patience is how long anything may take that is not about time, on a busy machine.
const patience = 20 * time.Second

func TestMessagesCrossNodes(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	ctx := t.Context()
	members := r.ConnectMany(8, "member", "room")
	others := r.ConnectMany(8, "other")
	everybody := append(members[:8:8], others...)
	nodes := make(map[string]bool)
	for _, c := range everybody {
		nodes[c.Node()] = true
	}
	if len(nodes) != 2 {
		t.Fatalf("16 clients are on %d nodes, want 2", len(nodes))
	}

	for i, c := range everybody {
		key := fmt.Sprint("direct-", i)
		rig.Sure(t, func() error {
			_, err := r.API.Send(ctx, api.Message{ID: key, To: []string{c.ID()}, Data: rig.Data(key)})
			return err
		})
	}
	rig.Sure(t, func() error {
		_, err := r.API.SendGroup(ctx, "room", api.Message{ID: "group", Data: rig.Data("group")})
		return err
	})
	rig.Sure(t, func() error {
		_, err := r.API.Broadcast(ctx, api.Message{ID: "broadcast", Data: rig.Data("broadcast")})
		return err
	})
	for i, c := range everybody {
		rig.Eventually(t, patience, c.ID()+" has what is for it", func() bool {
			return rig.Has(c, fmt.Sprint("direct-", i)) && rig.Has(c, "broadcast")
		})
	}
	for _, c := range members {
		rig.Eventually(t, patience, c.ID()+" has the group's message", func() bool { return rig.Has(c, "group") })
	}
	for _, c := range others {
		if rig.Has(c, "group") {
			t.Errorf("%s is no member and got the group's message", c.ID())
		}
	}
	for i, c := range everybody {
		for j := range everybody {
			if n := rig.Count(c, fmt.Sprint("direct-", j)); i != j && n > 0 {
				t.Errorf("%s got the message for %s", c.ID(), everybody[j].ID())
			}
		}
	}
}

func TestRawClientGetsDataOnly(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	conn := r.Dial("raw", client.Raw)
	rig.Sure(t, func() error {
		_, err := r.API.Send(t.Context(), api.Message{ID: "hello", To: []string{"raw"}, Data: "hello"})
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := conn.NextRaw(ctx)
	if err != nil || string(got) != `"hello"` {
		t.Fatalf("got %s, %v; want the JSON of the data", got, err)
	}
}

func TestURLWorksOnceInARace(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	const racers, tries = 100, 5
	count := race(t, r, racers)
	for try := 1; try < tries && count[http.StatusServiceUnavailable] > 0; try++ { // a node lost sight of Redis
		count = race(t, r, racers)
	}
	if count[http.StatusSwitchingProtocols] != 1 || count[http.StatusConflict] != racers-1 {
		t.Fatalf("answers by status: %v; want one 101 and %d times 409", count, racers-1)
	}
}

// race has many use a new URL at once and counts the answers by status.
func race(t *testing.T, r *rig.Rig, racers int) map[int]int {
	t.Helper()
	var url string
	rig.Sure(t, func() (err error) {
		url, err = r.API.Connect(t.Context(), api.ConnectRequest{ClientID: "wanted"})
		return err
	})
	// The token is good on any node: half of the racers go to each.
	urls := make([]string, 2)
	for i, n := range r.Nodes {
		_, query, _ := strings.Cut(url, "?")
		urls[i] = "ws://" + n.Addr + "/ws?" + query
	}
	status := make([]int, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			conn, err := client.Dial(t.Context(), urls[i%2], client.V1)
			var refused *client.Refused
			switch {
			case err == nil:
				status[i] = http.StatusSwitchingProtocols
				defer conn.Cut()
			case errors.As(err, &refused):
				status[i] = refused.Status
			default:
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	count := make(map[int]int)
	for _, s := range status {
		count[s]++
	}
	return count
}

func TestLaterNodeGetsItsShare(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	r.ConnectMany(10, "early")
	r.AddNode()
	r.WaitReady()
	rig.Eventually(t, 3*patience, "the third node is offered and gets 5 of 30 new clients", func() bool {
		on := 0
		for _, c := range r.ConnectMany(30, fmt.Sprint("late-", time.Now().UnixNano())) {
			if strings.HasPrefix(c.Node(), "node3") {
				on++
			}
		}
		return on >= 5 // about 10 are to be expected
	})
}
