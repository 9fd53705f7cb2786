package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	adminTimeout = 5 * time.Second // one answer of the admin listener
	readyPoll    = 25 * time.Millisecond
)

// State is what is read of an imserver's /state.
type State struct {
	Node        string `json:"node"`
	Goroutines  int    `json:"goroutines"`
	HeapBytes   uint64 `json:"heapBytes"`
	Connections int    `json:"connections"`
	Clients     int    `json:"clients"`
	Groups      int    `json:"groups"`
	Streams     int    `json:"streams"`
	QueueBytes  int    `json:"queueBytes"`
	Arrivals    int    `json:"arrivals"`
	CatchingUp  int    `json:"catchingUp"`
	Partitions  int    `json:"partitions"`
	Leaving     int    `json:"leaving"`
	Subscribed  bool   `json:"subscribed"`
}

// Get asks the admin listener for a path and returns status and body.
func (p *Program) Get(ctx context.Context, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+path, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	req.Close = true // a connection kept open would count as a goroutine of the program
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// State asks for /state.
func (p *Program) State(ctx context.Context) (State, error) {
	var st State
	_, body, err := p.Get(ctx, "/state")
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(body, &st); err != nil {
		return st, fmt.Errorf("%s: read /state: %w", p.Name, err)
	}
	return st, nil
}

// IsReady asks /readyz.
func (p *Program) IsReady(ctx context.Context) bool {
	code, _, err := p.Get(ctx, "/readyz")
	return err == nil && code == http.StatusOK
}

// Ready waits until /readyz says so.
func (p *Program) Ready(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for !p.IsReady(ctx) {
		select {
		case <-tick.C:
		case <-p.Ended():
			return fmt.Errorf("%s ended before it was ready:\n%s", p.Name, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w:\n%s", p.Name, ctx.Err(), p.Output())
		}
	}
	return nil
}
