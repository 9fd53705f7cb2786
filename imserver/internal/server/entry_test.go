package server

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/ticket"
)

// A URL works once on all nodes, whose clocks differ from the issuer's: its use is remembered until it has expired by any clock
// that is late by no more than the margin.
func TestAUsedURLIsRememberedUntilItHasExpiredEverywhere(t *testing.T) {
	keys, err := ticket.ParseKeys("test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{o: Options{
		Keys: keys, Partition: func(string) int { return 0 }, Node: func() string { return "n" },
	}}
	const life = 60 * time.Second
	for _, tc := range []struct {
		name  string
		ahead time.Duration // by how much this node's clock is ahead of the issuer's
		want  time.Duration // at least, from the first moment on
	}{
		{"the same clock", 0, life + usedMargin},
		{"ahead", 30 * time.Second, life + usedMargin},
		{"far ahead", 40 * time.Second, life + usedMargin},
		{"late", -3 * time.Second, life + 3*time.Second + usedMargin},
	} {
		issued := time.Now().Add(-tc.ahead)
		token, err := keys.Sign(ticket.Claims{ClientID: "ann", IssuedAt: issued, ExpiresAt: issued.Add(life)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/ws?token="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		se, refused := s.entry(r, netip.Addr{})
		if refused != nil {
			t.Fatalf("%s: refused: %+v", tc.name, refused)
		}
		const late = time.Second // of a busy machine, with a clock that is late
		if se.JTITTL < tc.want-late || se.ClientID != "ann" || se.Device != protocol.DefaultDevice {
			t.Errorf("%s: remembered for %v, want %v", tc.name, se.JTITTL, tc.want)
		}
	}
}
