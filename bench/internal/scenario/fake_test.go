package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
)

// fakeRole, and what its clients have got, is this test program as a fleet.
const fakeRole = "fake-fleet="

// got is what the clients of a fake fleet have got: its answers to stats and to count.
type got struct {
	Stats clients.Stats
	Each  []int64
}

func TestMain(m *testing.M) {
	if what, is := strings.CutPrefix(os.Args[len(os.Args)-1], fakeRole); is {
		if err := workFake(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func workFake(what string) error {
	var g got
	if err := json.Unmarshal([]byte(what), &g); err != nil {
		return err
	}
	return procs.Work(os.Stdin, os.Stdout, procs.Ops{
		"stats": func(json.RawMessage) (any, error) { return g.Stats, nil },
		"count": func(json.RawMessage) (any, error) { return g.Each, nil },
		"arm":   func(json.RawMessage) (any, error) { return nil, nil },
		"await": func(json.RawMessage) (any, error) { return clients.Round{Last: time.Now().UnixNano()}, nil },
		"took": func(json.RawMessage) (any, error) {
			none, err := measure.NewLatency().MarshalBinary()
			return clients.Latencies{Connects: none, Messages: none}, err
		},
	})
}

// fake starts a fleet whose clients have got something.
func fake(t *testing.T, g got) clients.Remote {
	t.Helper()
	for _, n := range g.Each {
		g.Stats.Messages += n
	}
	w, err := procs.StartWorker(t.Context(), procs.Program{Path: os.Args[0]}, fakeRole+string(encode(g)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Kill)
	return clients.Remote{W: w}
}
