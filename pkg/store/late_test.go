package store

import (
	"errors"
	"testing"
	"time"
)

// A network that comes back brings what old connections to Redis had sent, perhaps after the new ones have been used. What
// registers a connection must not arrive after what signs it off: nobody would take it off the register again.
func TestWhatRegistersTooLateDoesNotRegister(t *testing.T) {
	refused := func(t *testing.T, s *Store, err error, struck bool) {
		t.Helper()
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrStruckOff) != struck {
			t.Errorf("got %v, want ErrUnavailable, that the node was struck off: %v", err, struck)
		}
		if c := clientOf(t, s, "anna"); c.Online || len(c.Connections) != 0 {
			t.Errorf("anna is registered: %+v", c)
		}
	}
	t.Run("signed off before", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			se := session(s, "anna")
			ref := ConnRef{ClientID: "anna", ConnID: se.ConnID}
			unsure := ref
			unsure.Unsure = true
			must(t, s.Disconnect(ctxb, "n", []ConnRef{unsure}))
			must(t, s.Disconnect(ctxb, "n", []ConnRef{ref})) // of the same connection, by one who is sure
			_, err := s.Connect(ctxb, se)
			refused(t, s, err, false)
			_, err = s.Restore(ctxb, []Session{se})
			must(t, err)
			if c := clientOf(t, s, "anna"); len(c.Connections) != 0 {
				t.Errorf("restored: %+v", c)
			}
			other := session(s, "anna")
			other.JTI = se.JTI // the URL was not used up
			connect(t, s, other, AnyDevice)
		})
	})
	t.Run("unsure, and registered after all", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			se := session(s, "anna")
			connect(t, s, se, AnyDevice)
			must(t, s.Disconnect(ctxb, "n", []ConnRef{{ClientID: "anna", ConnID: se.ConnID, Unsure: true}}))
			if c := clientOf(t, s, "anna"); len(c.Connections) != 0 {
				t.Errorf("still registered: %+v", c)
			}
			_, err := s.Restore(ctxb, []Session{se}) // sent before, by a node that did not get its answer
			must(t, err)
			if c := clientOf(t, s, "anna"); len(c.Connections) != 0 {
				t.Errorf("restored: %+v", c)
			}
			next := successor(s, se) // it was a connection like others
			connect(t, s, next, AnyDevice)
		})
	})
	t.Run("its node was struck off", func(t *testing.T) {
		onAll(t, func(t *testing.T, s *Store) {
			se := session(s, "anna")
			strikeOff(t, s, se.Node)
			_, err := s.Connect(ctxb, se)
			refused(t, s, err, true)
			_, err = s.Restore(ctxb, []Session{se})
			refused(t, s, err, true)
			se.Node += "-2" // the node's next name
			se.JTITTL = time.Minute
			connect(t, s, se, AnyDevice)
		})
	})
}
