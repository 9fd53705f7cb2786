package protocol

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReceiptFrame(t *testing.T) {
	for _, c := range []struct {
		name, id, client string
		pos              Position
	}{
		{"plain", "m1", "bob", Position{5, 6}},
		{"escapes", `"\` + "\u2028", "日本\"", Position{5, 6}},
		{"without a position", "m1", "bob", Position{}},
	} {
		e := &Envelope{ID: "x", Data: ReceiptData(c.id, c.client, StateRead), IsReceipt: true}
		var got map[string]any
		if err := json.Unmarshal(ReceiptFrame("inbox", c.pos, e), &got); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want := map[string]any{"type": "receipt", "stream": "inbox", "id": c.id, "clientId": c.client, "state": "read"}
		if !c.pos.IsZero() {
			want["pos"] = c.pos.String()
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
	for _, data := range []string{"", "{}", "{", "7"} { // nothing of ours, but never a broken frame
		if f := ReceiptFrame("inbox", Position{1, 1}, &Envelope{Data: []byte(data)}); !json.Valid(f) {
			t.Errorf("%q becomes %s", data, f)
		}
	}
}

func TestReadIDs(t *testing.T) {
	ids := func(n int, id string) string {
		return `{"type":"read","ids":[` + strings.TrimSuffix(strings.Repeat(id+",", n), ",") + `]}`
	}
	for _, c := range []struct {
		in string
		n  int // -1: refused
	}{
		{`{"type":"read"}`, 0},
		{ids(1, `"a"`), 1},
		{ids(MaxReadIDs, `"a"`), MaxReadIDs},
		{ids(MaxReadIDs+1, `"a"`), -1},
		{`{"type":"read","ids":[""]}`, -1},
		{`{"type":"read","ids":["a","b\n"]}`, -1},
		{`{"type":"read","ids":["` + strings.Repeat("x", MaxIDLen+1) + `"]}`, -1},
	} {
		f, err := DecodeClientFrame([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.ReadIDs()
		if c.n < 0 && !errors.Is(err, ErrBadFrame) || c.n >= 0 && (err != nil || len(got) != c.n) {
			t.Errorf("%.60s: %d ids, %v", c.in, len(got), err)
		}
	}
}
