package clients

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDataIsJSONOfTheSize(t *testing.T) {
	for _, size := range []int{30, 150, 1000} {
		b := Data(12, size)
		if len(b) != size || !json.Valid(b) {
			t.Errorf("%d bytes, valid %v: %s", len(b), json.Valid(b), b)
		}
		if got := roundOf(b); got != 12 {
			t.Errorf("the round is %d, want 12", got)
		}
	}
}

func TestRoundOfForeignMessages(t *testing.T) {
	for _, text := range []string{"", `{"round":`, `{"round":"7"}`, `{"type":"joined"}`} {
		if got := roundOf([]byte(text)); got != -1 {
			t.Errorf("%q is taken for round %d", text, got)
		}
	}
}

func TestRoundEndsWhenEveryClientHasIt(t *testing.T) {
	r := newRecorder()
	a, b, c := &conn{round: -1}, &conn{round: -1}, &conn{round: -1}
	at := time.Unix(1000, 0)
	r.arm(5, 3)
	r.message(a, Data(5, 50), at)
	r.message(a, Data(5, 50), at) // twice does not count
	r.message(b, Data(4, 50), at) // an old round neither
	r.message(b, Data(5, 50), at.Add(time.Millisecond))
	if _, err := r.await(0); err == nil || !strings.Contains(err.Error(), "2 of 3") {
		t.Fatalf("two of three clients have it: %v", err)
	}
	r.message(c, Data(5, 50), at.Add(time.Second))
	got, err := r.await(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got.Median != at.Add(time.Millisecond).UnixNano() || got.Last != at.Add(time.Second).UnixNano() {
		t.Errorf("median %d, last %d", got.Median, got.Last)
	}
	if string(got.Frame) != string(Data(5, 50)) {
		t.Errorf("frame %q", got.Frame)
	}
}
