package registry

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// A connection whose socket is not open yet may have missed that it was revoked or kicked, like any other. But it may also
// not have been registered yet, which is no reason to do so now.
func TestConnectionsThatAreOpeningAreCompared(t *testing.T) {
	st := open(t, redistest.Start(t))
	session := func(client string) store.Session {
		return store.Session{
			ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: "n", Device: "d", JTI: protocol.NewID(), JTITTL: time.Minute,
		}
	}
	connected := func(client string) store.Session {
		se := session(client)
		if _, err := st.Connect(ctxb, se); err != nil {
			t.Fatal(err)
		}
		return se
	}
	revoked, kicked, fine := connected("revoked"), connected("kicked"), connected("fine")
	opening := []store.Session{revoked, kicked, session("too early"), fine}
	admitted := []store.Session{session("forgotten by Redis")}
	if err := st.Revoke(ctxb, "revoked", "", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Kick(ctxb, "kicked", "", kicked.ConnID, protocol.ReasonForcedOffline.Code()); err != nil {
		t.Fatal(err)
	}

	ended := make(map[string]int)
	r := &Roll{
		Store: st, Log: zap.NewNop(), Leave: func(store.ConnRef) {},
		Sessions: func(only bool) []store.Session {
			if only {
				return admitted
			}
			return append(opening[:len(opening):len(opening)], admitted...)
		},
		End: func(e store.Ended) { ended[e.ConnID] = e.Code },
	}
	if err := r.Compare(ctxb, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 2 || ended[revoked.ConnID] != protocol.ReasonRevoked.Code() || ended[kicked.ConnID] != protocol.ReasonForcedOffline.Code() {
		t.Errorf("ended: %v", ended)
	}
	for client, want := range map[string]int{"too early": 0, "forgotten by Redis": 1, "fine": 1} {
		if c, err := st.Client(ctxb, client); err != nil || len(c.Connections) != want {
			t.Errorf("%s has connections %+v, want %d: %v", client, c.Connections, want, err)
		}
	}
}
