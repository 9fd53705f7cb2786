package clients

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

func TestDataIsJSONOfTheSize(t *testing.T) {
	for _, size := range []int{60, 150, 1000} {
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
	a, b, c := &conn{round: -1}, &conn{round: -1, index: 1}, &conn{round: -1, index: 2}
	r.expect(3)
	at := time.Unix(1000, 0)
	r.arm(5, 3)
	r.message(a, Data(5, 60), at)
	r.message(a, Data(5, 60), at) // twice does not count
	r.message(b, Data(4, 60), at) // an old round neither
	r.message(b, Data(5, 60), at.Add(time.Millisecond))
	if _, err := r.await(0); err == nil || !strings.Contains(err.Error(), "2 of 3") {
		t.Fatalf("two of three clients have it: %v", err)
	}
	r.message(c, Data(5, 60), at.Add(time.Second))
	got, err := r.await(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if each := r.counts(); !slices.Equal(each, []int64{2, 2, 1}) {
		t.Errorf("messages of each client: %v", each)
	}
	if got.Last != at.Add(time.Second).UnixNano() {
		t.Errorf("last %d", got.Last)
	}
	if string(got.Frame) != string(Data(5, 60)) {
		t.Errorf("frame %q", got.Frame)
	}
}

func TestMessagesThatHoldATimeAreMeasured(t *testing.T) {
	r := newRecorder()
	sent := time.Unix(1_700_000_000, 123)
	r.message(&conn{}, Data(1, 100), sent) // holds none
	stamped := Data(1, 100)
	Stamp(stamped, sent)
	if !json.Valid(stamped) || len(stamped) != 100 {
		t.Errorf("not as before: %s", stamped)
	}
	r.message(&conn{}, append([]byte(`{"type":"message","data":`), stamped...), sent.Add(7*time.Millisecond))
	text, err := r.takeLatency()
	if err != nil {
		t.Fatal(err)
	}
	took := measure.NewLatency()
	if err := took.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	if s := took.Summary(); s.Count != 1 || s.Max < 6.99 || s.Max > 7.01 {
		t.Errorf("got %+v, want one of 7 ms", s)
	}
	Stamp([]byte(`{"at":1}`), sent) // too short; must not panic
}

func TestMessagesForAnotherClientAreNoticed(t *testing.T) {
	r := newRecorder()
	for _, size := range []int{60, 150} {
		if b := DirectData(1234567, size); len(b) != size || !json.Valid(b) {
			t.Errorf("%d bytes, valid %v: %s", len(b), json.Valid(b), b)
		}
	}
	r.message(&conn{number: 7}, DirectData(7, 60), time.Now())
	r.message(&conn{number: 7}, Data(3, 60), time.Now()) // for everybody
	if n := r.stray.Load(); n != 0 {
		t.Errorf("%d of a client's own messages were taken for somebody else's", n)
	}
	r.message(&conn{number: 8}, DirectData(7, 60), time.Now())
	if n := r.stray.Load(); n != 1 {
		t.Errorf("%d messages for somebody else, want 1", n)
	}
}

func TestWithRound(t *testing.T) {
	frame := append([]byte(`{"type":"message","id":"3","data":`), Data(3, 100)...)
	if got := roundOf(WithRound(frame, 4)); got != 4 {
		t.Errorf("round %d, want 4", got)
	}
}
