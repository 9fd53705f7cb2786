package clients

import (
	"testing"
	"time"
)

func TestAcksAreCollected(t *testing.T) {
	var a acks
	begin := time.Now()
	one, two, never := &conn{acks: true}, &conn{acks: true}, &conn{}
	a.owe(one, begin)
	a.owe(never, begin)
	a.owe(two, begin.Add(ackDelay/2))
	a.owe(one, begin.Add(ackDelay/2)) // goes with the first
	for _, tc := range []struct {
		after time.Duration
		want  *conn
	}{
		{ackDelay - 1, nil}, {ackDelay, one}, {ackDelay, nil}, {ackDelay * 3 / 2, two}, {time.Hour, nil},
	} {
		if got := a.take(begin.Add(tc.after)); got != tc.want {
			t.Errorf("after %v: %p, want %p", tc.after, got, tc.want)
		}
	}
	a.owe(one, begin.Add(time.Hour))
	if got := a.take(begin.Add(2 * time.Hour)); got != one {
		t.Error("who has acknowledged does not again")
	}
}
