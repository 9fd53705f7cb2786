package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func wantRevoked(t *testing.T, s *Store, what string, se Session) {
	t.Helper()
	if _, err := s.Connect(ctxb, se); !errors.Is(err, ErrRevoked) {
		t.Errorf("%s: %v, want that it is revoked", what, err)
	}
}

func TestRevokedClientIsKeptOut(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		heard := listen(t, s, "anna")
		open, closed := session(s, "anna"), session(s, "anna")
		connect(t, s, open, AnyDevice)
		connect(t, s, closed, AnyDevice)
		disconnect(t, s, closed)
		must(t, s.Revoke(ctxb, "anna", "", time.Minute))
		eventually(t, "its connection is told", func() bool {
			return slices.Equal(heard.lines(), []string{"K\nanna\n\n\n4502\n"})
		})
		url := session(s, "anna")
		wantRevoked(t, s, "a URL", url)
		wantRevoked(t, s, "a session", successor(s, closed))
		wantRevoked(t, s, "the session of an open connection", successor(s, open))
		connect(t, s, session(s, "bob"), AnyDevice)
		disconnect(t, s, open)
		must(t, s.Revoke(ctxb, "anna", "", 0))
		connect(t, s, url, AnyDevice) // it was not used up
		connect(t, s, successor(s, closed), AnyDevice)
		if _, err := s.Connect(ctxb, successor(s, open)); !errors.Is(err, ErrURLUsed) {
			t.Errorf("a connection that was closed by a revocation was resumed: %v", err)
		}
	})
}

func TestRevokedURLIsKeptOut(t *testing.T) {
	for _, known := range []bool{true, false} {
		onAll(t, func(t *testing.T, s *Store) {
			heard := listenTo(t, s, s.ClientChannel(s.Partition("anna")), s.AllChannel())
			first := session(s, "anna")
			connect(t, s, first, AnyDevice)
			next := successor(s, first)
			next.JTI = first.JTI
			connect(t, s, next, AnyDevice)
			if info := clientOf(t, s, "anna"); info.Connections[0].JTI != first.JTI {
				t.Errorf("registered: %+v", info.Connections)
			}
			other := session(s, "anna")
			connect(t, s, other, AnyDevice)
			client := "anna"
			if !known {
				client = ""
			}
			must(t, s.Revoke(ctxb, client, first.JTI, time.Minute))
			eventually(t, "the nodes are told", func() bool {
				return slices.Contains(heard.lines(), "V\n"+first.JTI+"\n")
			})
			disconnect(t, s, next)
			again := successor(s, next)
			again.JTI = first.JTI
			wantRevoked(t, s, "a session that goes back to it", again)
			pending := session(s, "anna")
			pending.JTI = first.JTI
			wantRevoked(t, s, "the URL itself", pending)
			connect(t, s, successor(s, other), AnyDevice)
			must(t, s.Revoke(ctxb, client, first.JTI, 0))
			connect(t, s, again, AnyDevice)
		})
	}
}

func TestRevocationEndsByItself(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	must(t, s.Revoke(ctxb, "anna", "", time.Minute))
	se := session(s, "anna")
	wantRevoked(t, s, "a URL", se)
	must(t, s.Revoke(ctxb, "anna", "", 300*time.Millisecond))
	eventually(t, "it is over", func() bool { _, err := s.Connect(ctxb, se); return err == nil })
}

func TestRevocationWithoutRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := openHasty(t, Options{URL: redis.URL()})
	redis.Kill()
	for _, jti := range []string{"", "j"} {
		if err := s.Revoke(ctxb, "anna", jti, time.Minute); !errors.Is(err, ErrUnavailable) {
			t.Errorf("without Redis: %v", err)
		}
	}
}
