// Package tcptest starts what tests of connections need.
package tcptest

import (
	"testing"

	"github.com/imtier/imtier/imserver/internal/tcp"
)

// StartParker makes a Parker that runs until the test has ended; nil where the system has none.
func StartParker(t testing.TB) *tcp.Parker {
	t.Helper()
	p, err := tcp.NewParker()
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { defer close(ran); p.Run() }()
	t.Cleanup(func() { p.Close(); <-ran })
	return p
}
