package pace

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("away")

func TestWhatFailedIsRepeatedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done [][]int
		attempts, told := 0, 0
		err := Each(t.Context(), Pace{Size: 2, Rest: 1}, []int{1, 2, 3, 4, 5}, func(err error) {
			if told++; !errors.Is(err, errAway) {
				t.Errorf("told %v", err)
			}
		}, func(_ context.Context, part []int) error {
			if attempts++; attempts == 2 || attempts == 3 {
				return errAway
			}
			done = append(done, slices.Clone(part))
			return nil
		})
		if err != nil || attempts != 5 || told != 1 {
			t.Errorf("%v, %d attempts, told %d times", err, attempts, told)
		}
		if !slices.EqualFunc(done, [][]int{{1, 2}, {3, 4}, {5}}, slices.Equal[[]int]) {
			t.Errorf("done %v", done)
		}
	})
}

func TestASlowRedisIsAskedLessOften(t *testing.T) {
	for _, tt := range []struct {
		took, want time.Duration
		rest       int
	}{
		{2 * time.Millisecond, 4 * time.Millisecond, 1},
		{2 * time.Millisecond, 8 * time.Millisecond, 3},
		{2 * time.Millisecond, 2 * time.Millisecond, 0},
		{400 * time.Millisecond, 800 * time.Millisecond, 1},
		{2 * time.Second, 2*time.Second + longest, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			err := Each(t.Context(), Pace{Size: 1, Rest: tt.rest}, make([]int, 3), func(error) {}, func(context.Context, []int) error {
				<-time.After(tt.took) // by synctest's clock
				return nil
			})
			if took := time.Since(begin); err != nil || took != 3*tt.want {
				t.Errorf("%v: took %v %v, want %v", tt.took, took, err, 3*tt.want)
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := Each(ctx, Pace{Size: 1}, make([]int, 3), func(error) { t.Error("told of a failure") }, func(context.Context, []int) error {
		calls++
		cancel()
		return errAway
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
