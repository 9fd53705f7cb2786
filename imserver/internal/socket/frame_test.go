package socket

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFrame(t *testing.T) {
	tests := []struct {
		name string
		op   Opcode
		size int
		head []byte
	}{
		{"empty", OpText, 0, []byte{0x81, 0}},
		{"one byte", OpBinary, 1, []byte{0x82, 1}},
		{"largest with a short length", OpText, 125, []byte{0x81, 125}},
		{"smallest with 16 bits", OpText, 126, []byte{0x81, 126, 0, 126}},
		{"largest with 16 bits", OpText, 0xffff, []byte{0x81, 126, 0xff, 0xff}},
		{"smallest with 64 bits", OpBinary, 0x10000, []byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
		{"pong", opPong, 3, []byte{0x8a, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte{'x'}, tt.size)
			got := Frame(tt.op, payload)
			if want := append(tt.head, payload...); !bytes.Equal(got, want) {
				t.Errorf("got % x…, want % x…", got[:min(len(got), 12)], want[:min(len(want), 12)])
			}
		})
	}
}

func TestCloseFrame(t *testing.T) {
	if got, want := closeFrame(4001, "too slow"), append([]byte{0x88, 10, 0x0f, 0xa1}, "too slow"...); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	got := closeFrame(4001, strings.Repeat("x", 500))
	if len(got) != 2+maxControlPayload || got[1] != maxControlPayload {
		t.Errorf("a long text makes a frame of %d bytes, length %d", len(got), got[1])
	}
	// What is cut stays UTF-8: a letter of three bytes does not fit into the last two.
	if got := closeFrame(4501, "xx"+strings.Repeat("€", 60)); len(got) != 2+2+2+40*3 || !utf8.Valid(got[4:]) {
		t.Errorf("a long text of wide letters is cut to % x", got[max(0, len(got)-6):])
	}
}
