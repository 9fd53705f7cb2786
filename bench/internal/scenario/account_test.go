package scenario

import (
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
)

// spin uses so much processor time, however busy the machine is.
func spin(t *testing.T, d time.Duration) {
	t.Helper()
	begin, err := measure.CPU(os.Getpid())
	for now := begin; err == nil && now-begin < d; {
		now, err = measure.CPU(os.Getpid())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAccountTellsKindsOfWorkApart(t *testing.T) {
	r, err := procs.StartRedis(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	a := (&stage{redis: r.URL}).account("me")
	a.add("me", os.Getpid()) // of the same name: summed up
	step := func(work string, f func()) {
		t.Helper()
		if err := a.begin(); err != nil {
			t.Fatal(err)
		}
		f()
		if err := a.end(work); err != nil {
			t.Fatal(err)
		}
	}
	asks := func() { _, _ = procs.ReadRedisInfo(r.URL) } // one command each
	for range 3 {
		step("much", func() { spin(t, 30*time.Millisecond); asks(); asks() })
		step("nothing", func() {})
	}
	much, nothing := a.cost("much", "piece", 6), a.cost("nothing", "piece", 6)
	if len(much.Processes) != 1 || much.Micros() < 10*nothing.Micros() {
		t.Errorf("much cost %+v, nothing %+v", much, nothing)
	}
	if much.Redis.Commands != 1 || nothing.Redis.Commands != 0 { // six of six; the account's own do not count
		t.Errorf("commands: %v and %v, want 1 and 0", much.Redis.Commands, nothing.Redis.Commands)
	}
	r.Stop()
	step("more", func() {})
	if c := a.cost("more", "piece", 1); c.Redis != nil {
		t.Errorf("a Redis that is gone has done %+v", c.Redis)
	}
}

func TestAccountTellsWhatOthersTook(t *testing.T) {
	a := &account{works: map[string]*spent{
		"work":  {cpu: []time.Duration{time.Second, 2 * time.Second}, busy: 5 * time.Second, clock: 10 * time.Second},
		"alone": {cpu: []time.Duration{3 * time.Second}, busy: 2990 * time.Millisecond, clock: 10 * time.Second}, // ticks are coarse
	}}
	if got, want := a.others("work"), 0.2/float64(runtime.NumCPU()); math.Abs(got-want) > 1e-9 {
		t.Errorf("others had %v, want %v", got, want)
	}
	if got := a.others("alone") + a.others("nothing"); got != 0 {
		t.Errorf("others had %v of what they did not take part in", got)
	}
	r := &account{works: make(map[string]*spent)} // knows no process: what this one does is somebody else's
	if err := r.begin(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	spin(t, 500*time.Millisecond)
	if err := r.end("work"); err != nil {
		t.Fatal(err)
	}
	if got, least := r.others("work"), 0.4/time.Since(began).Seconds()/float64(runtime.NumCPU()); got < least {
		t.Errorf("others had %v of the processors, want %v at least", got, least)
	}
}
