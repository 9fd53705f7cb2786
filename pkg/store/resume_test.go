package store

import (
	"errors"
	"testing"
)

// successor is a session that continues another one's connection.
func successor(s *Store, of Session) Session {
	se := session(s, of.ClientID)
	se.JTI, se.JTITTL, se.Resume = "", 0, of.ConnID
	return se
}

func TestResumeAfterTheConnectionClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		first := session(s, "anna")
		connect(t, s, first, AnyDevice)
		disconnect(t, s, first)
		next := successor(s, first)
		connect(t, s, next, AnyDevice)
		if _, err := s.Connect(ctxb, successor(s, first)); !errors.Is(err, ErrURLUsed) {
			t.Errorf("a session was resumed twice: %v", err)
		}
		disconnect(t, s, next)
		connect(t, s, successor(s, next), AnyDevice) // the successor's own session
	})
}

// The node of the old connection may be dead, or the network: the client is back before anybody noticed.
func TestResumeReplacesAConnectionThatIsStillRegistered(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		first := session(s, "anna")
		connect(t, s, first, AnyDevice)
		next := successor(s, first)
		if c := connect(t, s, next, AnyDevice); c.Online {
			t.Error("the client went online again")
		}
		conns := clientOf(t, s, "anna").Connections
		if len(conns) != 1 || conns[0].ConnID != next.ConnID {
			t.Errorf("connections: %+v", conns)
		}
		disconnect(t, s, first) // comes late, and must not make the old session good again
		if _, err := s.Connect(ctxb, successor(s, first)); !errors.Is(err, ErrURLUsed) {
			t.Errorf("a session was resumed twice: %v", err)
		}
	})
}

func TestFinalConnectionsCannotBeResumed(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		first := session(s, "anna")
		connect(t, s, first, AnyDevice)
		must(t, s.Disconnect(ctxb, "n1", []ConnRef{{ClientID: "anna", ConnID: first.ConnID, Final: true}}))
		if _, err := s.Connect(ctxb, successor(s, first)); !errors.Is(err, ErrURLUsed) {
			t.Errorf("resumed all the same: %v", err)
		}
		if _, err := s.Connect(ctxb, successor(s, session(s, "anna"))); !errors.Is(err, ErrURLUsed) {
			t.Errorf("resumed a connection that never was: %v", err)
		}
	})
}
