package scenario

import (
	"context"
	"slices"
	"testing"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

func TestOffCountsClientByClient(t *testing.T) {
	for _, tc := range []struct {
		name      string
		got, want []int64
		off       int64
	}{
		{"nobody", nil, nil, 0},
		{"exact", []int64{1, 2}, []int64{1, 2}, 0},
		{"one lost", []int64{1, 1}, []int64{1, 2}, 1},
		{"one twice", []int64{2, 2}, []int64{1, 2}, 1},
		{"one lost, another twice", []int64{2, 1}, []int64{1, 2}, 2},
		{"a client that is not there", []int64{1}, []int64{1, 3}, 3},
		{"a client that should not be", []int64{1, 3}, []int64{1}, 3},
	} {
		if n := off(tc.got, tc.want); n != tc.off {
			t.Errorf("%s: %d, want %d", tc.name, n, tc.off)
		}
	}
}

func TestInTurn(t *testing.T) {
	want := make([]int64, 4)
	inTurn(want, 3, 7)
	inTurn(want, 4, 2)
	if !slices.Equal(want, []int64{4, 3, 2, 0}) {
		t.Errorf("got %v", want)
	}
}

// contestOf is one of clients that have got something, after so many rounds.
func contestOf(t *testing.T, rounds int, each ...[]int64) *contest {
	t.Helper()
	sd := &side{name: sideImtier, publish: func(context.Context, int, []byte) error { return nil }}
	for _, e := range each {
		sd.crowd = append(sd.crowd, fake(t, got{Each: e}))
	}
	c := &contest{sides: []*side{sd}, rounds: rounds, size: 60, members: len(each[0]), cpu: &account{works: make(map[string]*spent)}}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContestsNoticeWhatComesTwice(t *testing.T) {
	const rounds = 2
	all := int64(warmup + rounds)
	for _, tc := range []struct {
		name string
		each [][]int64
		met  bool
	}{
		{"exact", [][]int64{{all, all}, {all, all}}, true},
		{"one twice", [][]int64{{all, all}, {all + 1, all}}, false},
		{"one lost, another twice", [][]int64{{all, all}, {all + 1, all - 1}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := report.New("fanout", "")
			other := contestOf(t, rounds, []int64{all}) // of another size
			if err := exact(t.Context(), res, lostOrMore, other, contestOf(t, rounds, tc.each...)); err != nil {
				t.Fatal(err)
			}
			if res.Met() != tc.met || len(res.Rows) != 1 {
				t.Errorf("%+v", res.Rows)
			}
		})
	}
}

func TestAClientThatFailedIsNoCount(t *testing.T) {
	crowd := clients.Crowd{fake(t, got{Each: []int64{1}}), fake(t, got{Stats: clients.Stats{Failure: "broken"}, Each: []int64{1}})}
	if each, err := counted(t.Context(), crowd); err == nil {
		t.Errorf("got %v", each)
	}
}

func TestGhostsAreNoticed(t *testing.T) {
	for online, met := range map[int]bool{9: false, 10: true, 11: false} {
		res := report.New("idle", "")
		if checkOnline(res, "", 10, online); res.Met() != met {
			t.Errorf("10 connected, %d online: %+v", online, res.Rows)
		}
	}
}
