package api

import (
	"strings"
	"testing"
)

// White space at the end of a body, as encoding/json's Encoder writes it, matters neither to it nor to the next one.
func TestBodiesHaveNothingToDoWithEachOther(t *testing.T) {
	type body struct{ Add []string }
	for _, n := range []int{0, 1, 511 - len(`{"add":[""]}`), 512 - len(`{"add":[""]}`), 4000} {
		for _, space := range []string{"", "\n", strings.Repeat(" \t\r\n", 1000)} {
			var in body
			if err := decodeStrict([]byte(`{"add":["`+strings.Repeat("a", n)+`"]}`+space), &in); err != nil || len(in.Add) != 1 || len(in.Add[0]) != n {
				t.Errorf("%d bytes and %d of white space: %v", n, len(space), err)
			}
			if err := decodeStrict([]byte(`{"add":["bob"]}`), &in); err != nil || in.Add[0] != "bob" {
				t.Errorf("what came after %d bytes and %d of white space: %q, %v", n, len(space), in.Add, err)
			}
			if decodeStrict([]byte(`{"add":["bob"]}`+space+"}"), &in) == nil {
				t.Errorf("%d bytes of white space hide what follows", len(space))
			}
		}
	}
}
