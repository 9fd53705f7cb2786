package store

import (
	"errors"
	"testing"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestClientConnectsTooOften(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		limited := func(client string) Session {
			se := session(s, client)
			se.Rate = 3
			return se
		}
		first := limited("anna")
		connect(t, s, first, AnyDevice)
		must(t, s.do(ctxb, s.client.B().Set().Key(s.keys.connects("anna")).Value("1").Build()).Error()) // a second that does not end
		for range 2 {
			connect(t, s, limited("anna"), AnyDevice)
		}
		if _, err := s.Connect(ctxb, first); !errors.Is(err, ErrURLUsed) {
			t.Errorf("a used URL: %v", err)
		}
		url, resumed := limited("anna"), successor(s, first)
		resumed.Rate = 3
		for _, se := range []Session{url, resumed} {
			if _, err := s.Connect(ctxb, se); !errors.Is(err, ErrTooOften) {
				t.Errorf("the fourth within a second: %v", err)
			}
		}
		disconnect(t, s, first)
		if _, err := s.Connect(ctxb, resumed); !errors.Is(err, ErrTooOften) {
			t.Errorf("the session of a closed connection: %v", err)
		}
		connect(t, s, limited("bob"), AnyDevice)
		wantRestored(t, s, []Session{limited("anna")}) // what is open stays
		if n := len(clientOf(t, s, "anna").Connections); n != 3 {
			t.Errorf("%d connections", n)
		}
		must(t, s.do(ctxb, s.client.B().Del().Key(s.keys.connects("anna")).Build()).Error()) // the second is over
		connect(t, s, url, AnyDevice)
		connect(t, s, resumed, AnyDevice)
	})
}

func TestConnectRateIsPerSecond(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	se := session(s, "anna")
	se.Rate = 1
	connect(t, s, se, AnyDevice)
	next := session(s, "anna")
	next.Rate = 1
	eventually(t, "the second is over", func() bool { _, err := s.Connect(ctxb, next); return err == nil })
}
