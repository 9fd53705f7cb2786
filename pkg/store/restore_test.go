package store

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// away is what a node finds of its connections when it was not there to hear orders: by comparing, and by registering
// them again after others had given the node up.
func away(t *testing.T, s *Store, se Session) (compared, restored []Ended) {
	t.Helper()
	compared, unknown, err := s.Compare(ctxb, se.Node, []Session{se})
	must(t, err)
	if len(unknown) > 0 {
		t.Error("an ended connection counts as unknown")
	}
	back := se
	back.Node = se.Node + "-2"
	restored, err = s.Restore(ctxb, []Session{back}) // before the others have given it up
	must(t, err)
	wantEqual(t, "restored at once", restored, compared)
	strikeOff(t, s, se.Node)
	restored, err = s.Restore(ctxb, []Session{back})
	must(t, err)
	return compared, restored
}

// endedMarks counts the marks of ended connections.
func endedMarks(t *testing.T, s *Store) (n int) {
	t.Helper()
	keys, err := s.do(ctxb, s.client.B().Keys().Pattern("im:*ended:*").Build()).AsStrSlice()
	must(t, err)
	return len(keys)
}

func TestEndedConnectionsAreFoundByNodesThatWereAway(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, s *Store, se Session)
		code int
		by   string
	}{
		{"kicked", func(t *testing.T, s *Store, se Session) {
			_, err := s.Kick(ctxb, "anna", "", se.ConnID, 4500)
			must(t, err)
		}, 4500, ""},
		{"kicked twice", func(t *testing.T, s *Store, se Session) {
			for _, code := range []int{4500, 4502} {
				_, err := s.Kick(ctxb, "anna", se.Device, "", code)
				must(t, err)
			}
		}, 4500, ""},
		{"replaced", func(t *testing.T, s *Store, se Session) {
			winner := session(s, "anna")
			winner.Node, winner.Device = "n2", "phone"
			connect(t, s, winner, OneDevice)
		}, 4501, "phone"},
		{"handed over", func(t *testing.T, s *Store, se Session) {
			next := successor(s, se)
			next.Node = "n2"
			connect(t, s, next, AnyDevice)
		}, 4004, ""},
		{"revoked", func(t *testing.T, s *Store, _ Session) { must(t, s.Revoke(ctxb, "anna", "", time.Minute)) }, 4502, ""},
		{"its URL revoked", func(t *testing.T, s *Store, se Session) {
			must(t, s.Revoke(ctxb, "", se.JTI, time.Minute))
		}, 4502, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onAll(t, func(t *testing.T, s *Store) {
				se := session(s, "anna")
				se.Meta = []byte(`{"a":1}`)
				connect(t, s, se, AnyDevice)
				test.end(t, s, se)
				compared, restored := away(t, s, se)
				want := []Ended{{"anna", se.ConnID, test.code, test.by}}
				wantEqual(t, "compared", compared, want)
				wantEqual(t, "restored", restored, want)
				for _, c := range clientOf(t, s, "anna").Connections {
					if c.ConnID == se.ConnID {
						t.Error("it is registered again")
					}
				}
				disconnect(t, s, se) // the node has closed it
				if n := endedMarks(t, s); n != 0 {
					t.Errorf("%d marks are left", n)
				}
			})
		})
	}
}

func TestCompareFindsWhatRedisLost(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		known, lost := session(s, "anna"), session(s, "bob")
		connect(t, s, known, AnyDevice)
		ended, unknown, err := s.Compare(ctxb, known.Node, []Session{known, lost})
		must(t, err)
		wantEqual(t, "ended", ended, nil)
		wantEqual(t, "unknown", unknown, []int{1})
	})
}

// Redis may have gone back to a time at which the node had another name, under which somebody will strike it off.
func TestCompareFindsWhatIsRegisteredUnderAnotherName(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		ended, unknown, err := s.Compare(ctxb, "n1-2", []Session{se})
		must(t, err)
		wantEqual(t, "ended", ended, nil)
		wantEqual(t, "unknown", unknown, []int{0})
	})
}

// The claim on a node may be lost, and a janitor of an older version makes none: then a node may have taken its lease again
// although its connections were signed off.
func TestCompareFindsThatTheNodeWasStruckOff(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		se := session(s, "anna")
		connect(t, s, se, AnyDevice)
		strikeOff(t, s, se.Node)
		if _, _, err := s.Compare(ctxb, se.Node, []Session{se}); !errors.Is(err, ErrStruckOff) {
			t.Errorf("got %v", err)
		}
		if _, _, err := s.Compare(ctxb, "n1-2", []Session{se}); err != nil {
			t.Errorf("under the next name: %v", err)
		}
	})
}

func TestRegisteredListsWhatANodeHas(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		se, other := session(s, "anna"), session(s, "bob")
		other.Node = "n2"
		connect(t, s, se, AnyDevice)
		connect(t, s, other, AnyDevice)
		refs, err := s.Registered(ctxb, "n1", s.allPartitions())
		must(t, err)
		wantEqual(t, "registered", refs, []ConnRef{{ClientID: "anna", ConnID: se.ConnID}})
	})
}

// The order to close may come when the peer has closed already, and the node calls it resumable.
func TestKickedSessionIsOver(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, signedOff := range []bool{false, true} {
			se := session(s, "anna")
			connect(t, s, se, AnyDevice)
			_, err := s.Kick(ctxb, "anna", "", se.ConnID, 4500)
			must(t, err)
			if signedOff {
				disconnect(t, s, se)
			}
			if _, err := s.Connect(ctxb, successor(s, se)); err == nil {
				t.Errorf("it was resumed, signed off: %v", signedOff)
			}
		}
	})
}

// Its place is free: it must not cost another one that is open.
func TestKickedConnectionsDoNotCountForThePolicy(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		stays, kicked := session(s, "anna"), session(s, "anna")
		stays.Since, kicked.Since = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
		connect(t, s, stays, AnyDevice)
		connect(t, s, kicked, AnyDevice)
		_, err := s.Kick(ctxb, "anna", "", kicked.ConnID, 4500)
		must(t, err)
		connect(t, s, session(s, "anna"), "max:2")
		if !slices.Contains(connIDs(clientOf(t, s, "anna")), stays.ConnID) {
			t.Error("it was replaced although there was room")
		}
	})
}

// A node that comes back with a connection of a client that has another one by now: whether both may stay is what it would
// have been had the node been there.
func TestRestoreReplaysThePolicies(t *testing.T) {
	tests := []struct {
		name       string
		old, young DevicePolicy
		stays      bool
	}{
		{"the younger one's policy counts", AnyDevice, OneDevice, false},
		{"the older one's does not", OneDevice, AnyDevice, true},
		{"another device", AnyDevice, OnePerDevice, true},
		{"room for two", "max:2", "max:2", true},
		{"room for one", "max:2", "max:1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			onAll(t, func(t *testing.T, s *Store) {
				old, young := session(s, "anna"), session(s, "anna")
				old.Device, young.Device = "web", "phone"
				old.Since, young.Since = time.Now().Add(-time.Hour), time.Now()
				connect(t, s, young, test.young)
				old.Policy, young.Policy = test.old, test.young
				for range 2 { // in either order
					wantRestored(t, s, []Session{young})
					_, err := s.Restore(ctxb, []Session{old})
					must(t, err)
				}
				want := 1
				if test.stays {
					want = 2
				}
				got := connIDs(clientOf(t, s, "anna"))
				if len(got) != want || want == 1 && got[0] != young.ConnID {
					t.Errorf("%d connections stay, want %d", len(got), want)
				}
			})
		})
	}
}
