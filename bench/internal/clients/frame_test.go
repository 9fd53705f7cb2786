package clients

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

type frame struct {
	op      byte
	payload string
}

// serverFrame builds a frame as a server sends it.
func serverFrame(op byte, payload []byte) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// decode feeds the stream in pieces of a size.
func decode(t *testing.T, stream []byte, piece int) []frame {
	t.Helper()
	var (
		d   decoder
		got []frame
	)
	for len(stream) > 0 {
		n := min(piece, len(stream))
		if err := d.feed(stream[:n], func(op byte, p []byte) { got = append(got, frame{op, string(p)}) }); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if len(d.rest) > 0 {
		t.Errorf("%d bytes are left", len(d.rest))
	}
	return got
}

func TestDecoderIsIndifferentToHowBytesArrive(t *testing.T) {
	want := []frame{
		{opText, "hello"},
		{opPing, ""},
		{opText, string(bytes.Repeat([]byte("a"), 125))},
		{opText, string(bytes.Repeat([]byte("b"), 126))},
		{opBinary, string(bytes.Repeat([]byte("c"), 0xffff))},
		{opBinary, string(bytes.Repeat([]byte("d"), 0x10000))},
		{opClose, "\x0f\xa0"},
	}
	var stream []byte
	for _, f := range want {
		stream = append(stream, serverFrame(f.op, []byte(f.payload))...)
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, len(stream)} {
		got := decode(t, stream, piece)
		if len(got) != len(want) {
			t.Fatalf("pieces of %d: %d frames, want %d", piece, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("pieces of %d: frame %d is op %d with %d bytes", piece, i, got[i].op, len(got[i].payload))
			}
		}
	}
}

func TestDecoderRefusesWhatNoServerSends(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"masked", []byte{0x81, 0x80, 0, 0, 0, 0}, errMasked},
		{"fragment", []byte{0x01, 0x00}, errFragment},
		{"too large", []byte{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0}, errTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d decoder
			err := d.feed(tc.in, func(byte, []byte) { t.Error("a frame came out") })
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestMaskedFrames(t *testing.T) {
	for _, n := range []int{0, 125, 126, 1000} {
		b := masked(opPong, bytes.Repeat([]byte("x"), n))
		if b[0] != 0x80|opPong || b[1]&0x80 == 0 {
			t.Errorf("%d bytes: header % x", n, b[:2])
		}
		// Without the mask it must be what a server would send.
		head := len(b) - n - 4
		plain := append(append([]byte{}, b[:head]...), b[head+4:]...)
		plain[1] &^= 0x80
		if !bytes.Equal(plain, serverFrame(opPong, bytes.Repeat([]byte("x"), n))) {
			t.Errorf("%d bytes: wrong frame", n)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(serverFrame(opText, []byte("hello")))
	f.Add([]byte{0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d decoder
		_ = d.feed(b, func(byte, []byte) {}) // must not panic
	})
}
