package fault

import (
	"fmt"
	"testing"
	"time"
)

func TestPlanIsReproducible(t *testing.T) {
	t.Parallel()
	text := func(seed uint64) string { return fmt.Sprint(Plan(seed, Kinds(), 3, 5*time.Minute)) }
	if again := text(7); again != text(7) {
		t.Error("equal seeds make different plans")
	}
	if text(7) == text(8) {
		t.Error("different seeds make equal plans")
	}
}

func TestPlanKeepsItsBounds(t *testing.T) {
	t.Parallel()
	const total = 10 * time.Minute
	var sum time.Duration
	seen := make(map[string]bool)
	for _, s := range Plan(1, Kinds(), 3, total) {
		seen[s.Kind.Name] = true
		sum += s.Pause + s.Length
		if s.Length < s.Kind.Least || s.Length > s.Kind.Most || s.Node < 0 || s.Node > 2 || s.Pause > mostPause {
			t.Errorf("out of bounds: %v", s)
		}
	}
	if sum < total {
		t.Errorf("it takes %v, want %v", sum, total)
	}
	if len(seen) != len(Kinds()) {
		t.Errorf("%d of %d kinds occur", len(seen), len(Kinds()))
	}
}
