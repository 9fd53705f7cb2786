package store

import (
	"context"

	"github.com/redis/rueidis"
)

// Confirm makes sure that Redis is in the life that its fences are of, and begins a new one if it is not. A publisher would
// find out with the next message; until then what a position proves would be judged by a fence that is too low. So it is for
// who opens a Redis, and for who lost it for a moment and goes by fences. It raises nothing where nothing has happened.
func (s *Store) Confirm(ctx context.Context) error {
	if _, err := s.readLives(ctx); err != nil {
		return err
	}
	for _, p := range s.keys.everywhere() {
		if s.lives.of(p) == noLife {
			if err := s.newLife(ctx, p, noLife.sha); err != nil {
				return err
			}
		}
	}
	l := s.lives.of(allPartition)
	known, err := s.isLoaded(ctx, l)
	if err != nil || known {
		return err
	}
	return s.newLife(ctx, allPartition, l.sha)
}

// isLoaded reports whether every master has the publishing scripts of a life.
func (s *Store) isLoaded(ctx context.Context, l *life) (bool, error) {
	all := true
	err := s.onMasters(ctx, "look for publish script", func(ctx context.Context, node rueidis.Client) error {
		known, err := node.Do(ctx, node.B().ScriptExists().Sha1(l.sha, l.append).Build()).AsIntSlice()
		for _, n := range known {
			all = all && n == 1
		}
		return err
	})
	return all, err
}

// MeetFence notes a fence that a message was published under. It costs next to nothing.
func (s *Store) MeetFence(fence uint64) { s.lives.meet(fence) }
