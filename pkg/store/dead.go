package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// maxDead bounds the letters that are kept, roughly; beyond it the oldest go.
const maxDead = 10_000

const deadField = "d"

// DeadLetter is what could not be delivered to a webhook.
type DeadLetter struct {
	ID       string          `json:"-"`   // of the letter
	Key      string          `json:"key"` // of what it holds: equal keys are the same
	Body     json.RawMessage `json:"body"`
	Error    string          `json:"error"` // of the last attempt
	Attempts int             `json:"attempts"`
	Time     time.Time       `json:"-"` // when it was given up, by Redis's clock
}

// PutDead keeps a letter.
func (s *Store) PutDead(ctx context.Context, d DeadLetter) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("keep a dead letter: %w", err)
	}
	cmd := s.client.B().Xadd().Key(s.keys.dead()).Maxlen().Almost().Threshold(fmt.Sprint(maxDead)).Id("*").
		FieldValue().FieldValue(deadField, string(text)).Build()
	return wrap("keep a dead letter", s.do(ctx, cmd).Error())
}

// Dead lists letters behind one, the oldest first; an empty after begins with the oldest. ErrBadCursor when after is no
// letter's ID.
func (s *Store) Dead(ctx context.Context, after string, limit int) ([]DeadLetter, error) {
	from := "-"
	if after != "" {
		id, err := parseEntryID(after)
		if err != nil {
			return nil, ErrBadCursor
		}
		from = fmt.Sprintf("%d-%d", id.ms, id.n+1)
	}
	return s.deadRange(ctx, from, "+", limit)
}

// DeadByID returns one letter; false when there is none.
func (s *Store) DeadByID(ctx context.Context, id string) (DeadLetter, bool, error) {
	if _, err := parseEntryID(id); err != nil {
		return DeadLetter{}, false, nil
	}
	all, err := s.deadRange(ctx, id, id, 1)
	if err != nil || len(all) == 0 {
		return DeadLetter{}, false, err
	}
	return all[0], true, nil
}

func (s *Store) deadRange(ctx context.Context, from, to string, limit int) ([]DeadLetter, error) {
	m, err := s.do(ctx, s.client.B().Xrange().Key(s.keys.dead()).Start(from).End(to).Count(int64(limit)).Build()).ToMessage()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list dead letters", err)
	}
	found, err := entries(&m, deadField, 0)
	if err != nil {
		return nil, wrap("list dead letters", err)
	}
	var out []DeadLetter
	for _, e := range found {
		d := DeadLetter{ID: e.id}
		id, err := parseEntryID(e.id)
		if err != nil || json.Unmarshal([]byte(e.text), &d) != nil {
			continue // not written by imtier
		}
		d.Time = time.UnixMilli(id.ms)
		out = append(out, d)
	}
	return out, nil
}

// RemoveDead forgets a letter; false when there was none.
func (s *Store) RemoveDead(ctx context.Context, id string) (bool, error) {
	if _, err := parseEntryID(id); err != nil {
		return false, nil
	}
	n, err := s.do(ctx, s.client.B().Xdel().Key(s.keys.dead()).Id(id).Build()).AsInt64()
	return n == 1, wrap("remove a dead letter", err)
}
