package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// picture is who is online, kept in a file of changes: a stand-in for a product's database.
type picture struct {
	mu      sync.Mutex
	file    *os.File
	whole   bool // it was compared with the list once; a line without a name says so
	clients map[string]change
	touched map[string]bool // by events, while the picture is rebuilt; nil while it is not
}

// change is a line of the file: the last thing that is known of a client.
type change struct {
	ClientID string `json:"clientId"`
	Online   bool   `json:"online"`
	Seq      int64  `json:"seq"` // of the event; 0 when it was looked up
}

func openPicture(name string) (*picture, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &picture{file: f, clients: make(map[string]change)}
	good := int64(0) // where the last whole line ends: a kill may have cut one
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		var c change
		if err != nil || json.Unmarshal(line, &c) != nil {
			break
		}
		good += int64(len(line))
		p.note(c)
	}
	return p, errors.Join(f.Truncate(good), seekTo(f, good))
}

func seekTo(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}

func (p *picture) close() { _ = p.file.Close() }

func (p *picture) isNew() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.whole
}

func (p *picture) note(c change) {
	if c.ClientID == "" {
		p.whole = true
		return
	}
	p.clients[c.ClientID] = c
}

// set notes what an event says, unless a later one was noted before: events may come twice.
func (p *picture) set(clientID string, online bool, seq int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[clientID].Seq >= seq {
		return nil
	}
	if p.touched != nil {
		p.touched[clientID] = true
	}
	return p.write(change{clientID, online, seq})
}

// write changes the file, then the memory. The caller holds mu.
func (p *picture) write(c change) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := p.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep the picture: %w", err)
	}
	p.note(c)
	return nil
}

// rebuild compares the picture with the list of who is online. What events say meanwhile is newer than the list.
func (p *picture) rebuild(ctx context.Context, list func(ctx context.Context, cursor string, limit int) ([]string, string, error)) error {
	p.mu.Lock()
	p.touched = make(map[string]bool)
	p.mu.Unlock()
	listed := make(map[string]bool)
	for cursor := ""; ; {
		ids, next, err := list(ctx, cursor, 1000)
		if err != nil {
			return err
		}
		for _, id := range ids {
			listed[id] = true
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.clients {
		if p.clients[id].Online && !listed[id] && !p.touched[id] {
			if err := p.write(change{id, false, p.clients[id].Seq}); err != nil {
				return err
			}
		}
	}
	for id := range listed {
		if !p.clients[id].Online && !p.touched[id] {
			if err := p.write(change{id, true, p.clients[id].Seq}); err != nil {
				return err
			}
		}
	}
	p.touched = nil
	if p.whole {
		return nil
	}
	return p.write(change{})
}

// online lists who is, sorted.
func (p *picture) online() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []string{}
	for _, c := range p.clients {
		if c.Online {
			all = append(all, c.ClientID)
		}
	}
	slices.Sort(all)
	return all
}
