package store

import (
	"errors"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

// successor is a session that continues another one's connection.
func successor(s *Store, of Session) Session {
	se := session(s, of.ClientID)
	se.JTI, se.JTITTL, se.Resume = "", 0, of.ConnID
	return se
}

func TestResumeAfterTheConnectionClosed(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
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
	onAll(t, func(t *testing.T, s *Store) {
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
	onAll(t, func(t *testing.T, s *Store) {
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

// A node that stood still for longer than its lease is taken for dead, and comes back with connections whose sessions could be
// resumed meanwhile. Each session is good for one connection all the same.
func TestSessionsOfANodeThatComesBack(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		back := func(client string) Session {
			se := session(s, client)
			se.Node = "still-" + client
			connect(t, s, se, AnyDevice)
			strikeOff(t, s, se.Node)
			se.Node += "-2"
			return se
		}
		restore := func(se Session, want ...Ended) {
			t.Helper()
			ended, err := s.Restore(ctxb, []Session{se})
			must(t, err)
			wantEqual(t, se.ClientID+" ended", ended, want)
		}
		cannotResume := func(what string, se Session) {
			t.Helper()
			if _, err := s.Connect(ctxb, successor(s, se)); !errors.Is(err, ErrURLUsed) {
				t.Errorf("%s: %v", what, err)
			}
		}

		used := back("resumed before")
		connect(t, s, successor(s, used), AnyDevice)
		restore(used, Ended{ClientID: used.ClientID, ConnID: used.ConnID, Code: protocol.ReasonHandedOver.Code()})
		cannotResume("resumed before it was back", used)

		used = back("resumed after")
		restore(used)
		connect(t, s, successor(s, used), AnyDevice)
		cannotResume("resumed when it was back", used)

		final := back("told to stay away")
		restore(final)
		must(t, s.Disconnect(ctxb, final.Node, []ConnRef{{ClientID: final.ClientID, ConnID: final.ConnID, Final: true}}))
		cannotResume("told to stay away when it was back", final)
	})
}
