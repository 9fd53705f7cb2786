package protocol

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		check func(string) error
		in    string
		ok    bool
	}{
		{"plain", CheckClientID, "alice", true},
		{"spaces, quotes, braces", CheckGroup, `a "b" {c} 'd'`, true},
		{"unicode", CheckClientID, "日本 ✓", true},
		{"empty", CheckClientID, "", false},
		{"longest", CheckClientID, strings.Repeat("x", 128), true},
		{"too long", CheckGroup, strings.Repeat("x", 129), false},
		{"too many bytes", CheckGroup, strings.Repeat("é", 65), false},
		{"longest device", CheckDevice, strings.Repeat("x", 64), true},
		{"device too long", CheckDevice, strings.Repeat("x", 65), false},
		{"id too long", CheckID, strings.Repeat("x", 65), false},
		{"line feed", CheckClientID, "a\nb", false},
		{"nul", CheckClientID, "a\x00", false},
		{"delete", CheckClientID, "a\x7f", false},
		{"C1 control", CheckClientID, "a\u0085b", false},
		{"bad UTF-8", CheckClientID, "a\xff", false},
		{"surrogate", CheckClientID, "\xed\xa0\x80", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.check(c.in)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadName) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParsePosition(t *testing.T) {
	for _, in := range []string{
		"", "-", "1", "1-", "-1", "1-1-1", "a-1", "1-a", " 1-1", "1-1 ", "+1-1", "1--1", "0x1-1",
		"18446744073709551616-1", "1-18446744073709551616",
	} {
		if p, err := ParsePosition(in); err == nil {
			t.Errorf("%q is taken for %v", in, p)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	pos := func(e, s uint64) Position { return Position{e, s} }
	for _, c := range []struct {
		p, q       Position
		less, next bool
	}{
		{pos(0, 0), pos(5, 1), true, false},
		{pos(5, 0), pos(5, 1), true, true},
		{pos(0, 0), pos(5, 2), true, false},
		{pos(0, 0), pos(0, 0), false, false},
		{pos(5, 1), pos(5, 2), true, true},
		{pos(5, 1), pos(5, 3), true, false},
		{pos(5, 2), pos(5, 2), false, false},
		{pos(5, 2), pos(5, 1), false, false},
		{pos(5, 9), pos(6, 1), true, false},
		{pos(5, 9), pos(6, 10), true, false},
		{pos(6, 1), pos(5, 9), false, false},
	} {
		if c.p.Less(c.q) != c.less || c.p.Next(c.q) != c.next {
			t.Errorf("%v, %v: less %v, next %v", c.p, c.q, c.p.Less(c.q), c.p.Next(c.q))
		}
	}
}

func TestStreams(t *testing.T) {
	for _, c := range []struct {
		text string
		want Stream
	}{
		{"inbox", InboxOf("me")}, {"all", AllStream()}, {"group:room", GroupOf("room")}, {"group:group:x", GroupOf("group:x")},
		{"group:inbox", GroupOf("inbox")},
	} {
		got, err := ParseStream(c.text, "me")
		if err != nil || got != c.want || got.String() != c.text {
			t.Errorf("%q is %+v (%v), %v", c.text, got, got, err)
		}
	}
	for _, in := range []string{"", "group:", "group", "Inbox", "inbox ", "group:a\nb", "inbox:other"} {
		if got, err := ParseStream(in, "me"); err == nil {
			t.Errorf("%q is taken for %+v", in, got)
		}
	}
}

// Every partition has a tag of its own whose slot lies in its part of the slot range.
func TestTagsSpreadEvenly(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 256, 1000, MaxPartitions} {
		tags := Tags(n)
		seen := map[string]bool{}
		for p, tag := range tags {
			if tag == "" || seen[tag] {
				t.Fatalf("of %d: tag %d is %q", n, p, tag)
			}
			seen[tag] = true
			if slot := int(crc16(tag)) % slots; slot*n/slots != p {
				t.Fatalf("of %d: tag %q of partition %d has slot %d", n, tag, p, slot)
			}
		}
	}
}

// The values are those of CLUSTER KEYSLOT.
func TestSlots(t *testing.T) {
	for key, want := range map[string]int{"123456789": 0x31C3, "foo": 12182, "bar": 5061, "": 0} {
		if got := int(crc16(key)) % slots; got != want {
			t.Errorf("slot of %q is %d, want %d", key, got, want)
		}
	}
}

func TestPartitionsSpread(t *testing.T) {
	const n, each = 256, 400
	var count [n]int
	for range n * each {
		p := Partition(NewID(), n)
		if p < 0 || p >= n {
			t.Fatalf("partition %d", p)
		}
		count[p]++
	}
	if least, most := slices.Min(count[:]), slices.Max(count[:]); least < each/2 || most > each*2 {
		t.Errorf("between %d and %d per partition, want about %d", least, most, each)
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	before := time.Now().UnixMilli()
	for range 1000 {
		id := NewID()
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("id %q", id)
		}
		if err := CheckID(id); err != nil {
			t.Fatal(err)
		}
		seen[id] = true
	}
	var ms int64
	for _, c := range strings.ReplaceAll(NewID(), "-", "")[:12] {
		ms = ms<<4 | int64(strings.IndexRune("0123456789abcdef", c))
	}
	if ms < before || ms > time.Now().UnixMilli() {
		t.Errorf("an id's time is %d, now is %d", ms, before)
	}
}

func TestConnIDs(t *testing.T) {
	for _, p := range []int{0, 1, 255, MaxPartitions - 1} {
		id := NewConnID(p)
		if got, ok := ConnPartition(id); !ok || got != p || id == NewConnID(p) {
			t.Errorf("%q is of partition %d, want %d", id, got, p)
		}
	}
	for _, bad := range []string{"", "00ff", "zzzz0123456789abcdef", "00ff0123456789abcdeg", "00ff0123456789abcdef0", "00ff 123456789abcdef"} {
		if p, ok := ConnPartition(bad); ok {
			t.Errorf("%q is taken for partition %d", bad, p)
		}
	}
}

func TestReasons(t *testing.T) {
	codes, texts := map[int]Reason{}, map[string]Reason{}
	for _, r := range Reasons() {
		if r.String() == "" || r == ReasonNone {
			t.Errorf("reason %d has no text", r)
		}
		if other, ok := texts[r.String()]; ok {
			t.Errorf("%d and %d are both %q", r, other, r)
		}
		texts[r.String()] = r
		code := r.Code()
		if code == 0 {
			continue
		}
		if other, ok := codes[code]; ok {
			t.Errorf("%v and %v share code %d", r, other, code)
		}
		codes[code] = r
		if back, ok := ReasonOf(code); !ok || back != r {
			t.Errorf("code %d is %v, want %v", code, back, r)
		}
		if len(r.String()) > 123 {
			t.Errorf("%v does not fit into a close frame", r)
		}
	}
	for _, code := range []int{0, -1, 1005, 1006, 4999} {
		if r, ok := ReasonOf(code); ok {
			t.Errorf("code %d is %v", code, r)
		}
	}
	if got := Reason(200); got.Code() != 1011 {
		t.Errorf("an unknown reason has code %d", got.Code())
	}
}

func TestMalformedEnvelopes(t *testing.T) {
	good := envelopeVectors()["everything"]
	b := good.Encode()
	header := len(b) - len(good.Data)
	for n := range header {
		if e, err := DecodeEnvelope(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for %+v", n, len(b), e)
		}
	}
	for name, change := range map[string]func([]byte){
		"version":      func(b []byte) { b[0] = 2 },
		"unknown flag": func(b []byte) { b[1] |= 1 << 7 },
		"receipt":      func(b []byte) { b[1] |= 3 << receiptShift },
	} {
		bad := slices.Clone(b)
		change(bad)
		if _, err := DecodeEnvelope(bad); !errors.Is(err, ErrBadEnvelope) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMalformedPushes(t *testing.T) {
	for _, in := range []string{
		"", "\n", "M", "X\n", "MM\n1\n0\n", "M\n1\n", "M\n1\n1\na\n", "M\n1\n1\na\n1\n", "M\nx\n0\n", "M\n1\n-1\n", "M\n1\n1001\n",
		"M\n-1\n0\n", "M\n9223372036854775808\n0\n", "E\n1\n", "E\n2\na\n", "J\na\ng\n", "J\na\ng\nx\n", "L\na\n", "K\na\n\n\n", "K\na\n\n\nx\n",
	} {
		if p, err := DecodePush([]byte(in)); !errors.Is(err, ErrBadPush) {
			t.Errorf("%q is taken for %+v, %v", in, p, err)
		}
	}
}

// "\ud800" and "\udfff" in JSON both decode to U+FFFD: two clients would become one.
func TestNamesThatStandForBrokenTextAreRefused(t *testing.T) {
	if err := CheckClientID("a\ufffd"); err == nil {
		t.Error("accepted")
	}
	if err := CheckClientID("a日本\U0001f600"); err != nil {
		t.Errorf("refused plain text: %v", err)
	}
}
