package protocol

import (
	"bytes"
	"reflect"
	"testing"
)

func FuzzDecodeEnvelope(f *testing.F) {
	for _, e := range envelopeVectors() {
		f.Add(e.Encode())
	}
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := DecodeEnvelope(e.Encode())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}

func FuzzDecodePush(f *testing.F) {
	for _, p := range pushVectors() {
		f.Add(p.Encode())
	}
	f.Add([]byte("M\n1\n1000\na\n1-1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePush(b)
		if err != nil {
			return
		}
		once := p.Encode()
		q, err := DecodePush(once)
		if err != nil || !bytes.Equal(q.Encode(), once) {
			t.Fatalf("%q became %q, %v", b, once, err)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"0-0", "1795302328961-1", "18446744073709551615-18446744073709551615", "01-1", "-", "1-1-1", "+1-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err != nil {
			return
		}
		if q, err := ParsePosition(p.String()); err != nil || q != p {
			t.Fatalf("%q is %v, read again %v, %v", s, p, q, err)
		}
	})
}
