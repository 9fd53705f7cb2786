package protocol

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The files in testdata are golden: they describe what is stored in Redis and sent by running servers. A test that
// fails against them has found an incompatible change.

func golden(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// encoded is a row of envelope.json and push.json; the value that it encodes is in the table of that name.
type encoded struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
}

func envelopeVectors() map[string]*Envelope {
	return map[string]*Envelope{
		"smallest": {},
		"usual": {
			ID: "0190a5a8-7c1b-7000-8000-000000000001", From: "alice", Time: 1795302328961, Data: []byte(`{"text":"hi"}`),
		},
		"system": {ID: "1", Time: 1, Data: []byte(`null`)},
		"binary": {ID: "b", From: "x", Time: 2, Data: []byte{0, 255, '\n'}, Binary: true},
		"everything": {
			ID: "id ✓", From: "日本", Time: 1795302328961, Data: []byte(`"x"`), ExceptSender: true,
			ExceptConn: "00ff0123456789abcdef", Devices: []string{"phone", "web"}, Receipt: ReceiptRead, TTL: 3600,
		},
		"delivered": {ID: "d", From: "a", Time: 3, Data: []byte(`1`), Receipt: ReceiptDelivered},
		"receipt": {
			ID: "d\n1795302328961-7\nr", From: "bob", Time: 4, Data: ReceiptData("d", "bob", StateRead), IsReceipt: true,
		},
	}
}

func pushVectors() map[string]*Push {
	pos := Position{Epoch: 1795302328961, Seq: 7}
	return map[string]*Push{
		"message to two clients": {
			Kind: PushMessage, Fence: 1795302328000, Targets: []Target{{"alice", pos}, {"bob", Position{1, 2}}}, Envelope: []byte("E\nnvelope"),
		},
		"broadcast": {Kind: PushMessage, Fence: 1, Targets: []Target{{"", pos}}, Envelope: []byte{1, 0}},
		"reply": {
			Kind: PushReply, ClientID: "alice", Origin: "00ff0123456789abcdef", ID: "r1", Frame: []byte("{\"x\":\n1}"),
		},
		"ephemeral to a group": {Kind: PushEphemeral, Targets: []Target{{Addr: "room 1"}}, Envelope: []byte("x")},
		"join":                 {Kind: PushJoin, ClientID: "alice", Group: "room", Pos: pos},
		"join, with history":   {Kind: PushJoin, ClientID: "alice", Group: "room", Pos: pos, History: true},
		"join, empty stream":   {Kind: PushJoin, ClientID: "alice", Group: "room"},
		"leave":                {Kind: PushLeave, ClientID: "alice", Group: "room"},
		"unsure":               {Kind: PushUnsure, ClientID: "alice", Group: "room", Pos: pos},
		"leave, empty stream":  {Kind: PushLeave, ClientID: "alice", Group: "room", Ends: true},
		"leave, with its end":  {Kind: PushLeave, ClientID: "alice", Group: "room", Pos: pos, Ends: true},
		"kick a client":        {Kind: PushKick, ClientID: "alice", Code: 4500},
		"kick a device":        {Kind: PushKick, ClientID: "alice", ConnID: "00ff0123456789abcdef", Device: "web", Code: 4501},
		"replaced by a device": {Kind: PushKick, ClientID: "alice", ConnID: "00ff0123456789abcdef", Code: 4501, By: "phone"},
		"revoke a URL":         {Kind: PushRevoke, JTI: "ABC"},
	}
}

func TestGoldenPartitions(t *testing.T) {
	var rows []struct {
		Address               string
		Partitions, Partition int
	}
	golden(t, "partition.json", &rows)
	for _, r := range rows {
		if got := Partition(r.Address, r.Partitions); got != r.Partition {
			t.Errorf("partition of %q in %d is %d, want %d", r.Address, r.Partitions, got, r.Partition)
		}
	}
}

func TestGoldenTags(t *testing.T) {
	var rows map[string][]string
	golden(t, "tags.json", &rows)
	for n, want := range rows {
		count, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := Tags(count); !slices.Equal(got, want) {
			t.Errorf("tags of %d are %v, want %v", count, got, want)
		}
	}
}

func TestGoldenPositions(t *testing.T) {
	var rows []struct{ Text, Epoch, Seq string }
	golden(t, "position.json", &rows)
	for _, r := range rows {
		p, err := ParsePosition(r.Text)
		if err != nil || strconv.FormatUint(p.Epoch, 10) != r.Epoch || strconv.FormatUint(p.Seq, 10) != r.Seq || p.String() != r.Text {
			t.Errorf("%q is %+v (%v), %v", r.Text, p, p, err)
		}
	}
}

func TestGoldenOrderOfPositions(t *testing.T) {
	var rows []string
	golden(t, "position_order.json", &rows)
	for i, a := range rows {
		for j, b := range rows {
			p, err1 := ParsePosition(a)
			q, err2 := ParsePosition(b)
			if err1 != nil || err2 != nil || p.Less(q) != (i < j) {
				t.Errorf("%s before %s: %v (%v, %v)", a, b, p.Less(q), err1, err2)
			}
		}
	}
}

func TestGoldenCloseCodes(t *testing.T) {
	var rows []struct {
		Code  int
		Name  string
		Final bool
	}
	golden(t, "close.json", &rows)
	listed := make(map[Reason]bool)
	for _, r := range rows {
		reason, ok := ReasonOf(r.Code)
		listed[reason] = true
		if !ok || reason.String() != r.Name || r.Final != (r.Code >= FirstFinalCode) {
			t.Errorf("%d is %q", r.Code, reason)
		}
	}
	for _, r := range Reasons() {
		if r.Code() != 0 && !listed[r] {
			t.Errorf("close.json lacks %d, %s", r.Code(), r)
		}
	}
}

// frameVectors encodes what the rows of frames.json hold.
func frameVectors() map[string][]byte {
	pos, one := Position{Epoch: 1795302328961, Seq: 7}, func(seq uint64) Position { return Position{1, seq} }
	return map[string][]byte{
		"hello": Hello{ClientID: "ann", ConnID: "00ff0123456789abcdef", Node: "im-1", Session: "s.t.u", Ping: 25}.Frame(),
		"started": Started{
			Pos:       map[string]Position{"inbox": {}, "group:room 1": pos},
			Recovered: map[string]bool{"inbox": true, "group:room 1": false},
		}.Frame(),
		"message":                            MessageFrame("inbox", pos, &Envelope{ID: "0190a5a8-7c1b-7000-8000-000000000001", From: "bob", Time: 1795302328961, Data: []byte(`{"text":"hi"}`)}),
		"message of the system, ephemeral":   MessageFrame("all", Position{}, envelopeVectors()["system"]),
		"message, binary":                    MessageFrame("group:r", one(1), &Envelope{ID: "b", From: "日本", Time: 2, Data: []byte{0, 255, '\n'}, Binary: true}),
		"message that is awaited":            MessageFrame("inbox", one(2), &Envelope{ID: "r", From: "bob", Time: 3, Data: []byte("1"), Receipt: ReceiptRead}),
		"message that is to be acknowledged": MessageFrame("inbox", one(3), &Envelope{ID: "d", Time: 3, Data: []byte("1"), Receipt: ReceiptDelivered}),
		"receipt":                            ReceiptFrame("inbox", one(4), &Envelope{Data: ReceiptData("d", "bob", StateRead)}),
		"gap":                                GapFrame("group:r", one(1), Position{2, 1}),
		"joined":                             JoinedFrame("r", one(1)),
		"left":                               LeftFrame("r"),
		"migrate":                            MigrateFrame("ws://im-2/ws?session=s.t.u", 9*time.Second),
		"pong":                               PongFrame(),
	}
}

func TestGoldenFrames(t *testing.T) {
	type row struct{ Name, Text string }
	var rows struct{ Server, Client []row }
	golden(t, "frames.json", &rows)
	vectors := frameVectors()
	for _, r := range rows.Server {
		if got := string(vectors[r.Name]); got != r.Text {
			t.Errorf("%s is encoded as %s, want %s", r.Name, got, r.Text)
		}
		delete(vectors, r.Name)
	}
	for name := range vectors {
		t.Errorf("frames.json lacks %s", name)
	}
	want := map[string]*ClientFrame{
		"start":   {Type: FrameStart, Pos: map[string]string{"inbox": "1-2", "all": "1-0"}},
		"ack":     {Type: FrameAck, Pos: map[string]string{"inbox": "1-3"}},
		"read":    {Type: FrameRead, IDs: []string{"r", "日本"}},
		"ping":    {Type: FramePing},
		"request": {Type: "request", ID: "x-1", Data: json.RawMessage(`{"q":[1,null]}`)},
	}
	for _, r := range rows.Client {
		got, err := DecodeClientFrame([]byte(r.Text))
		if err != nil || !reflect.DeepEqual(got, want[r.Name]) {
			t.Errorf("%s is decoded as %+v, %v", r.Name, got, err)
		}
	}
}

func TestGoldenEnvelopes(t *testing.T) {
	vectors := envelopeVectors()
	for name, raw := range goldenBytes(t, "envelope.json", len(vectors)) {
		want := vectors[name]
		if got := hex.EncodeToString(want.Encode()); got != hex.EncodeToString(raw) {
			t.Errorf("%s is encoded as %s, want %x", name, got, raw)
		}
		got, err := DecodeEnvelope(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Data) == 0 && len(want.Data) == 0 {
			got.Data = want.Data // nil and empty mean the same
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is decoded as %+v, want %+v", name, got, want)
		}
	}
}

func TestGoldenPushes(t *testing.T) {
	vectors := pushVectors()
	for name, raw := range goldenBytes(t, "push.json", len(vectors)) {
		want := vectors[name]
		if got := want.Encode(); string(got) != string(raw) {
			t.Errorf("%s is encoded as %q, want %q", name, got, raw)
		}
		got, err := DecodePush(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is decoded as %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func goldenBytes(t *testing.T, file string, count int) map[string][]byte {
	t.Helper()
	var rows []encoded
	golden(t, file, &rows)
	if len(rows) != count {
		t.Fatalf("%s has %d rows, the table has %d", file, len(rows), count)
	}
	out := make(map[string][]byte, len(rows))
	for _, r := range rows {
		raw, err := hex.DecodeString(r.Hex)
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		out[r.Name] = raw
	}
	return out
}
