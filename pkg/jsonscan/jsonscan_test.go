package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

const message = `{"text":"a message of about a hundred and fifty bytes, as people write them to each other all day long","at":1700000000000,"ok":true}`

var samples = []string{
	message, ``, ` `, `null`, ` true `, `false`, `nul`, `truee`, `0`, `-0`, `01`, `-`, `1.5`, `1.`, `.5`, `1e9`, `1E+9`, `1e`, `1e-`, `-1.25e-3`,
	`""`, `"a\"b\\\/\b\f\n\r\t\u00e4"`, `"\u12G4"`, `"\u12`, `"\x"`, `"\`, `"open`, "\"\x01\"", "\"\x1f\"", "\"\t\"", "\"\xff\"", `"a" "b"`,
	`[]`, `[ ]`, `[1,2 , 3]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `[[[]]]`, `{}`, `{ }`, `{"a":1}`, `{"a" : {"b":[null]}}`,
	`{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1`, `{"a"`, "\u00a0null", "\v1", `[1}`, `{"a":1]`,
}

func FuzzValid(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := Valid(b), json.Valid(b); got != want {
			t.Fatalf("Valid(%.80q) = %v, encoding/json says %v", b, got, want)
		}
		if n, ok := Value(b); ok && !json.Valid(b[:n]) {
			t.Fatalf("Value(%.80q) = %d, and encoding/json does not take %.80q", b, n, b[:n])
		}
	})
}

func TestValueEndsWhereItEnds(t *testing.T) {
	for _, s := range samples {
		if b := bytes.TrimSpace([]byte(s)); json.Valid(b) && len(b) == len(s) {
			if n, ok := Value([]byte(s + ` ,"next"`)); !ok || n != len(s) {
				t.Errorf("Value(%.80q …) = %d, %v, want %d", s, n, ok, len(s))
			}
		}
	}
	for _, s := range []string{"", " 1", ",", "-", `{"a":1`} {
		if n, ok := Value([]byte(s)); ok || n != 0 {
			t.Errorf("Value(%q) = %d, %v, want 0 and false", s, n, ok)
		}
	}
}

func TestDepth(t *testing.T) {
	for depth, want := range map[int]bool{maxDepth: true, maxDepth + 1: false} {
		b := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		if Valid(b) != want || json.Valid(b) != want {
			t.Errorf("%d arrays in each other: %v, encoding/json says %v, want %v", depth, Valid(b), json.Valid(b), want)
		}
	}
}

func BenchmarkValid(b *testing.B) {
	for name, f := range map[string]func([]byte) bool{"jsonscan": Valid, "encoding-json": json.Valid} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				f([]byte(message))
			}
		})
	}
}
