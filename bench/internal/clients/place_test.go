package clients

import (
	"strings"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// message builds a frame as a server sends it.
func message(stream, pos string) []byte {
	at, err := protocol.ParsePosition(pos)
	if err != nil {
		panic(err)
	}
	return protocol.MessageFrame(stream, at, &protocol.Envelope{ID: "m", From: "bench", Data: []byte(`{"stream":"all","pos":"9-9"}`)})
}

func TestPlaceFollowsItsStreams(t *testing.T) {
	var p place
	if got := string(p.start()); strings.Contains(got, "pos") {
		t.Errorf("a client without a place starts with %q", got)
	}
	ok := p.started(protocol.Started{
		Pos:       map[string]protocol.Position{"inbox": {Epoch: 5, Seq: 0}, "all": {Epoch: 7, Seq: 3}},
		Recovered: map[string]bool{"inbox": true, "all": true},
	}.Frame())
	if want := (place{inbox: protocol.Position{Epoch: 5}, all: protocol.Position{Epoch: 7, Seq: 3}}); !ok || p != want {
		t.Fatalf("after started: %+v, %v", p, ok)
	}
	for _, tc := range []struct {
		stream, pos string
		fresh       bool
	}{
		{"inbox", "5-1", true},
		{"inbox", "5-1", false}, // twice
		{"all", "7-5", true},    // a gap between positions is no loss
		{"all", "7-4", false},   // out of order
		{"all", "8-1", true},
		{"inbox", "0-0", true}, // an ephemeral one has no position
		{"group:x", "1-1", true},
	} {
		if got := p.message(message(tc.stream, tc.pos)); got != tc.fresh {
			t.Errorf("%s %s: new %v, want %v", tc.stream, tc.pos, got, tc.fresh)
		}
	}
	if got := string(p.start()); !strings.HasSuffix(got, `{"type":"start","pos":{"inbox":"5-1","all":"8-1"}}`) {
		t.Errorf("it starts with %q", got)
	}
	if got := string(p.ack()); !strings.HasSuffix(got, `{"type":"ack","pos":{"inbox":"5-1","all":"8-1"}}`) {
		t.Errorf("it acknowledges with %q", got)
	}
	p.inbox = protocol.Position{}
	if got := string(p.ack()); !strings.HasSuffix(got, `{"type":"ack","pos":{"all":"8-1"}}`) {
		t.Errorf("without anything in its inbox it acknowledges with %q", got)
	}
}

func TestPlaceNoticesWhatCouldNotBeResumed(t *testing.T) {
	var p place
	if p.started(protocol.Started{
		Pos: map[string]protocol.Position{"all": {Epoch: 7, Seq: 3}}, Recovered: map[string]bool{"inbox": true, "all": false},
	}.Frame()) {
		t.Error("a stream that was not recovered went unnoticed")
	}
}
