package imserver

import (
	"strings"
	"testing"
)

// In a Cluster braces would part a node's lease from the claim on it.
func TestANodesNameHasNoBraces(t *testing.T) {
	name, ok := strings.CutPrefix(incarnation("a{b}{}c}"), "a(b)()c)-")
	if !ok || name == "" || strings.ContainsAny(name, "{}") {
		t.Errorf("got %q", name)
	}
}
