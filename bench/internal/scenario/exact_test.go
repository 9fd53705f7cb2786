package scenario

import (
	"slices"
	"testing"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

func TestAnAudienceIsCountedClientByClient(t *testing.T) {
	for _, tc := range []struct {
		name     string
		each     []int64
		shuffled bool
		met      bool
	}{
		{"exact", []int64{2, 2, 1}, false, true},
		{"one lost, another twice", []int64{2, 1, 2}, false, false},
		{"one lost, another twice, of clients that stand for anybody", []int64{3, 1, 1}, true, false},
		{"clients that stand for anybody", []int64{1, 2, 2}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := &audience{Crowd: clients.Crowd{fake(t, got{Each: tc.each})}, want: make([]int64, 3), shuffled: tc.shuffled}
			if _, err := a.await(t.Context(), 3, 5); err != nil {
				t.Fatal(err)
			}
			res := report.New("send", "")
			if err := a.account(t.Context(), res, ""); err != nil {
				t.Fatal(err)
			}
			if res.Met() != tc.met {
				t.Errorf("%+v", res.Rows)
			}
		})
	}
}

func TestResumeWantsProofs(t *testing.T) {
	o := &Resume{N: 3, Missed: 2}
	for _, tc := range []struct {
		name string
		got  got
		miss string // the goal that is missed
	}{
		{"exact", got{Each: []int64{2, 2, 2}}, ""},
		{"one lost, another twice", got{Each: []int64{2, 1, 3}}, lostOrMore},
		{"twice", got{Each: []int64{2, 2, 2}, Stats: clients.Stats{Repeated: 1}}, "messages twice or out of order"},
		{"nothing is sure", got{Each: []int64{2, 2, 2}, Stats: clients.Stats{Unproved: 3}}, unsure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := report.New("resume", "")
			if err := o.exact(t.Context(), res, clients.Crowd{fake(t, tc.got)}); err != nil {
				t.Fatal(err)
			}
			missed := slices.DeleteFunc(res.Rows, func(r report.Row) bool { return *r.Met })
			if (len(missed) == 0) != (tc.miss == "") || len(missed) > 0 && missed[0].Measure != tc.miss {
				t.Errorf("missed %+v", missed)
			}
		})
	}
}
