package scenario

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func TestMixedKnowsWhoHasToGetWhat(t *testing.T) {
	o := &Mixed{N: 200, Groups: 30, Each: 3, Zipf: 1.2, GroupShare: 0.5, Rate: 100, Duration: 5 * time.Second, Seed: 7}
	c := o.invent("127.0.0.1:1")
	if len(c.requests) != 500 || c.toGroups < 150 || c.toGroups > 350 {
		t.Fatalf("%d messages, %d to groups", len(c.requests), c.toGroups)
	}
	sizes := make([]int, o.Groups)
	for u, joins := range c.joins {
		if len(joins) != o.Each || len(slices.Compact(slices.Sorted(slices.Values(joins)))) != o.Each {
			t.Fatalf("user %d is in %v, want 3 different groups", u, joins)
		}
		for _, g := range joins {
			sizes[g]++
		}
	}
	if slices.Max(sizes) < 3*sizes[len(sizes)-1] {
		t.Errorf("sizes of groups: %v, want a few large ones", sizes)
	}
	// Every message to a group has as many receivers as the group has members, the others have one.
	if least := int64(500 - c.toGroups + c.toGroups*o.Each); sum(c.want) < least {
		t.Errorf("%d deliveries, want %d at least", sum(c.want), least)
	}
	again := o.invent("127.0.0.1:1")
	if !slices.Equal(c.want, again.want) || !bytes.Equal(c.requests[499], again.requests[499]) {
		t.Error("the same seed gives another chat")
	}
}

func TestMixedWithoutGroups(t *testing.T) {
	o := &Mixed{N: 10, Zipf: 1.2, GroupShare: 1, Rate: 10, Duration: time.Second}
	if c := o.invent("127.0.0.1:1"); c.toGroups != 0 || sum(c.want) != 10 {
		t.Errorf("%d to groups, %d deliveries", c.toGroups, sum(c.want))
	}
}
