package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	countEvery = 300 * time.Millisecond
	// countTimes is how often a room is counted after a change: the event of a change comes before the last place
	// that it is written to, and a crash in between is mended within about 5 s.
	countTimes = 2
)

// counts collects rooms whose members changed, so that a thousand changes cost one message per interval.
type counts struct {
	mu    sync.Mutex
	rooms map[string]int // how often they are still to be counted
}

func newCounts() *counts { return &counts{rooms: make(map[string]int)} }

// changed has a room counted soon.
func (c *counts) changed(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms[room] = countTimes
}

// due returns the rooms to count now.
func (c *counts) due() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for room, left := range c.rooms {
		list = append(list, room)
		if left--; left == 0 {
			delete(c.rooms, room)
		} else {
			c.rooms[room] = left
		}
	}
	return list
}

// occupancy is the data of a message that tells the lobby how full a room is.
type occupancy struct {
	Kind string `json:"kind"` // "room"
	room
}

// reportCounts tells the lobby about rooms that changed, until ctx ends.
func (d *Demo) reportCounts(ctx context.Context) {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, name := range d.counts.due() {
			if err := d.reportCount(ctx, name); err != nil && ctx.Err() == nil {
				d.onError(fmt.Errorf("demo: report how full a room is: %w", err))
			}
		}
	}
}

func (d *Demo) reportCount(ctx context.Context, name string) error {
	g, err := d.im.Group(ctx, groupOfRoom(name))
	if err != nil {
		return err
	}
	return d.tellLobby(ctx, occupancy{"room", room{name, g.Members, g.Online}})
}
