package imhelper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// GroupOptions are a group's own choice.
type GroupOptions struct {
	// Notices: members are told who becomes a member and who ceases to be one, by ephemeral messages of the group
	// whose data is a Notice. webapi sends them.
	Notices bool `json:"notices"`
}

// Notice is the data of a message that tells a group who came or went.
type Notice struct {
	Type     string `json:"type"` // "enter" or "exit"
	Group    string `json:"group"`
	ClientID string `json:"clientId"`
	Time     int64  `json:"time"` // Unix milliseconds
}

const (
	noticeGroup = "imtier-notices" // all webapis share the events
	noticesPoll = 2 * time.Second  // how often it is looked whether a group wants notices at all
	// noticeLife is the age from which nobody is told any more: a notice is of interest at the moment.
	noticeLife = time.Minute
)

// SetGroup sets a group's options, whether it has members or not. They last until the group is dissolved.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) SetGroup(ctx context.Context, group string, o GroupOptions) error {
	if err := checkGroup("group", group); err != nil {
		return err
	}
	return h.store.SetNoticing(ctx, group, o.Notices)
}

// GroupOptions returns a group's options.
//
// Errors: FieldError, ErrUnavailable.
func (h *Helper) GroupOptions(ctx context.Context, group string) (GroupOptions, error) {
	if err := checkGroup("group", group); err != nil {
		return GroupOptions{}, err
	}
	on, err := h.store.Noticing(ctx, group)
	if err != nil {
		return GroupOptions{}, err
	}
	return GroupOptions{Notices: on[0]}, nil
}

// SendNotices tells groups that want it who came and who went, and blocks until ctx ends. Those who run it share the
// work; every webapi does. An installation in which no group has ever wanted notices pays one look in 2 seconds. A notice
// may be sent twice, with the same message id.
//
// Errors: that of ctx.
func (h *Helper) SendNotices(ctx context.Context) error {
	tick := time.NewTicker(noticesPoll)
	defer tick.Stop()
	for {
		if any, err := h.store.AnyNoticing(ctx); err == nil && any {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return h.Events(ctx, noticeGroup, h.notice)
}

// notice tells the group of an event, if that is one to tell. An error makes it come again.
func (h *Helper) notice(ctx context.Context, e Event) error {
	typ := map[string]string{EventJoin: "enter", EventLeave: "exit"}[e.Type]
	if typ == "" || time.Since(time.UnixMilli(e.Time)) > noticeLife {
		return nil
	}
	on, err := h.store.Noticing(ctx, e.Group)
	if err != nil || !on[0] {
		return err
	}
	data, err := json.Marshal(Notice{typ, e.Group, e.ClientID, e.Time})
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("notice\n" + e.Key))
	_, err = h.SendGroup(ctx, GroupMessage{
		Group: e.Group, From: e.ClientID, ExceptSender: true, ID: hex.EncodeToString(sum[:16]), Data: data, Ephemeral: true,
	})
	return err
}
