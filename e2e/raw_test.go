package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/api"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// Raw clients that connect while their group is written to get what comes afterwards.
func TestRawClientsConnectUnderTraffic(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = r.API.SendGroup(t.Context(), "room", api.Message{Data: fmt.Sprint("noise ", i)}) // some may fail
			}
		}
	})
	const n = 60
	conns := make([]*client.Conn, n)
	for i := range conns {
		conns[i] = r.Dial(fmt.Sprint("raw-", i), client.Raw, "room")
	}
	close(stop)
	sender.Wait()
	rig.Sure(t, func() error {
		_, err := r.API.SendGroup(t.Context(), "room", api.Message{ID: "last", Data: "last"})
		return err
	})
	var missing sync.Map
	var wg sync.WaitGroup
	for i, c := range conns {
		missing.Store(i, true)
		wg.Go(func() {
			for {
				b, err := c.NextRaw(t.Context())
				if err != nil {
					return
				}
				if strings.Contains(string(b), "last") {
					missing.Delete(i)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
	}
	missing.Range(func(i, _ any) bool { t.Errorf("raw client %v did not get the last message", i); return true })
	for _, c := range conns {
		c.Cut()
	}
	<-done
}
