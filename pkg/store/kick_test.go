package store

import (
	"slices"
	"testing"

	"github.com/imtier/imtier/pkg/protocol"
)

func TestKick(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		heard := listen(t, s, "anna")
		web, phone := session(s, "anna"), session(s, "anna")
		phone.Device = "phone"
		connect(t, s, web, AnyDevice)
		connect(t, s, phone, AnyDevice)
		tests := []struct {
			client, device, conn string
			want                 int
			push                 string
		}{
			{"anna", "", "", 2, "K\nanna\n\n\n4500\n"},
			{"anna", "phone", "", 1, "K\nanna\n\nphone\n4500\n"},
			{"anna", "", web.ConnID, 1, "K\nanna\n" + web.ConnID + "\n\n4500\n"},
			{"anna", "phone", web.ConnID, 0, ""},
			{"anna", "pad", "", 0, ""},
			{"bob", "", "", 0, ""},
		}
		pushes := []string{}
		for _, test := range tests {
			n, err := s.Kick(ctxb, test.client, test.device, test.conn, 4500)
			must(t, err)
			if n != test.want {
				t.Errorf("%+v: %d", test, n)
			}
			if test.push != "" {
				pushes = append(pushes, test.push)
			}
		}
		eventually(t, "the orders are heard", func() bool { return slices.Equal(heard.lines(), pushes) })
	})
}

func TestKickConn(t *testing.T) {
	onAll(t, func(t *testing.T, s *Store) {
		for _, id := range []string{"n1", "n2"} {
			_, err := s.RenewNode(ctxb, Node{ID: id})
			must(t, err)
		}
		heard := listen(t, s, "anna")
		se := session(s, "anna")
		se.Node = "n2"
		connect(t, s, se, AnyDevice)
		found, err := s.KickConn(ctxb, se.ConnID, 4502)
		must(t, err)
		if !found {
			t.Fatal("not found")
		}
		eventually(t, "the order is heard", func() bool {
			return slices.Equal(heard.lines(), []string{"K\nanna\n" + se.ConnID + "\n\n4502\n"})
		})
		for _, id := range []string{"", "x", protocol.NewConnID(3), protocol.NewConnID(4000)} {
			if found, err := s.KickConn(ctxb, id, 4500); found || err != nil {
				t.Errorf("%q: %v, %v", id, found, err)
			}
		}
	})
}
