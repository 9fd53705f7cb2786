package rig

import (
	"testing"
	"time"
)

// notesOf makes notes of 100 ms each: how long a thread waited in each, in milliseconds.
func notesOf(begin time.Time, thread string, waited ...int) (out []note) {
	for i, ms := range waited {
		from := begin.Add(time.Duration(i) * watchEvery)
		out = append(out, note{from: from, to: from.Add(watchEvery), waited: map[string]time.Duration{thread: time.Duration(ms) * time.Millisecond}})
	}
	return out
}

func TestStarved(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	late := notesOf(begin, "a", 0, 0)
	late[1].late, late[1].to = 300*time.Millisecond, late[1].to.Add(300*time.Millisecond)
	two := notesOf(begin, "a", 10, 20)
	two[1].waited["b"] = 25 * time.Millisecond
	for _, tt := range []struct {
		name  string
		notes []note
		end   time.Duration // after the beginning
		want  time.Duration
		stood int // how many of the notes are standstills
	}{
		{"nobody waits", notesOf(begin, "a", 0, 0), time.Second, 0, 0},
		{"the thread that waited longest", two, time.Second, 30 * time.Millisecond, 0},
		{"what is after the end does not count", notesOf(begin, "a", 10, 20, 90), 200 * time.Millisecond, 30 * time.Millisecond, 1},
		{"no more than there was time", notesOf(begin, "a", 0, 100), 130 * time.Millisecond, 30 * time.Millisecond, 1},
		{"this process stood still", late, time.Second, 300 * time.Millisecond, 1},
		{"one wait over a look", notesOf(begin, "a", 0, 60, 50, 0), time.Second, 110 * time.Millisecond, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := starved(tt.notes, begin.Add(tt.end)); got != tt.want {
				t.Errorf("starved for %v, want %v", got, tt.want)
			}
			if got := standstills(tt.notes); len(got) != tt.stood {
				t.Errorf("%d standstills, want %d: %v", len(got), tt.stood, got)
			}
		})
	}
}
