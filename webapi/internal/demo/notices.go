package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
)

const (
	eventGroup = "imtier-demo" // all webapis share the events: each is turned into messages once
	retryAfter = time.Second   // between attempts to read events while Redis is away
)

// notice is the data of a message that tells a room who came or left.
type notice struct {
	Kind  string `json:"kind"`  // "notice"
	Event string `json:"event"` // "enter" or "leave"
	Name  string `json:"name"`
}

// presence is the data of a message that tells the lobby who came online or went offline.
type presence struct {
	Kind     string `json:"kind"` // "person"
	ClientID string `json:"clientId"`
	Name     string `json:"name"`
	Online   bool   `json:"online"`
}

// Run turns events into notices until ctx ends, then returns nil. It goes on by itself when Redis was away.
func (d *Demo) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.reportCounts(ctx)
	}()
	defer func() { <-done }()
	for {
		err := d.im.Events(ctx, eventGroup, d.onEvent)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			d.onError(fmt.Errorf("demo: %w", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
	}
}

// onEvent tells whom it concerns. An error makes the event come again, so notices have ids made from the event.
func (d *Demo) onEvent(ctx context.Context, e imhelper.Event) error {
	name, ok := nicknameOf(e.ClientID)
	if !ok {
		return nil
	}
	switch e.Type {
	case "online", "offline":
		return d.tellLobby(ctx, presence{Kind: "person", ClientID: e.ClientID, Name: name, Online: e.Type == "online"})
	case "join", "leave":
		room, ok := roomOfGroup(e.Group)
		if !ok {
			return nil
		}
		d.counts.changed(room)
		event := "enter"
		if e.Type == "leave" {
			event = "leave"
		}
		_, err := d.im.SendGroup(ctx, imhelper.GroupMessage{
			Group: e.Group, ID: noticeID(e), Data: mustEncode(notice{"notice", event, name}),
		})
		return err
	}
	return nil
}

// tellLobby sends what only concerns those who are online now.
func (d *Demo) tellLobby(ctx context.Context, data any) error {
	_, err := d.im.SendGroup(ctx, imhelper.GroupMessage{Group: lobby, Data: mustEncode(data), Ephemeral: true})
	return err
}

// noticeID is the same each time an event is delivered, which makes its notice appear once.
func noticeID(e imhelper.Event) string {
	sum := sha256.Sum256([]byte(e.Type + "\n" + e.Key + "\n" + e.ClientID + "\n" + e.Group))
	return hex.EncodeToString(sum[:16])
}
