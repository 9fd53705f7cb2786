package imhelper

import (
	"errors"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

func TestRevokeKeepsOut(t *testing.T) {
	h, redis := start(t)
	ctx := t.Context()
	h.register(t, redis, "n", "ws://n/ws")
	u, err := h.PreConnect(ctx, ConnectRequest{ClientID: "ann", Policy: "max:3"})
	if err != nil || u.JTI == "" {
		t.Fatalf("%+v %v", u, err)
	}
	try := func() error {
		_, err := h.store.Connect(ctx, store.Session{
			JTI: u.JTI, JTITTL: time.Minute, ClientID: "ann", ConnID: protocol.NewConnID(h.store.Partition("ann")), Node: "n", Device: "web",
		})
		return err
	}
	for _, r := range []Revocation{{JTI: u.JTI}, {ClientID: "ann", JTI: u.JTI}, {ClientID: "ann"}} {
		r.For = time.Minute
		until, err := h.Revoke(ctx, r)
		if left := time.Until(until); err != nil || left > time.Minute || left < 30*time.Second {
			t.Errorf("%+v: until %v, %v", r, until, err)
		}
		if err := try(); !errors.Is(err, store.ErrRevoked) {
			t.Errorf("%+v: %v", r, err)
		}
		r.For = 0
		if _, err := h.Revoke(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := try(); err != nil {
		t.Errorf("after it was lifted: %v", err)
	}
	c, err := h.Client(ctx, "ann")
	if err != nil || len(c.Connections) != 1 || c.Connections[0].JTI != u.JTI {
		t.Errorf("%+v %v", c, err)
	}
}
