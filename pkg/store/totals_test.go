package store

import "testing"

func TestTotals(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, id := range []string{"anna", "ben", "cleo"} {
			connect(t, s, session(s, id), AnyDevice)
		}
		connect(t, s, session(s, "anna"), AnyDevice) // a second device is no second client
		for _, g := range []string{"red", "blue"} {
			_, err := s.Join(ctxb, g, []string{"anna", "offline"}, JoinOptions{})
			must(t, err)
		}
		_, err := s.Leave(ctxb, "blue", []string{"anna", "offline"})
		must(t, err)

		clients, groups, err := s.Totals(ctxb)
		must(t, err)
		if clients != 3 || groups != 1 {
			t.Errorf("%d clients and %d groups, want 3 and 1", clients, groups)
		}
	})
}
