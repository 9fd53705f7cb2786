package registry

import (
	"fmt"
	"slices"
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
		Store: st, Log: zap.NewNop(), Node: func() string { return "n" }, Leave: func(store.ConnRef) {},
		Open: func(store.ConnRef) bool { return true },
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

// The lease is lost once more while connections are being registered: what comes afterwards has the newest name, also of
// those that were listed before.
func TestConnectionsAreRegisteredUnderTheNameOfNow(t *testing.T) {
	st := open(t, redistest.Start(t))
	var all []store.Session
	for i := range 3*restorePace.Size - 1 {
		client := fmt.Sprint("client", i)
		all = append(all, store.Session{ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: "listed", Device: "d"})
	}
	batches := 0
	r := &Roll{
		Store: st, Log: zap.NewNop(), Leave: func(ref store.ConnRef) { t.Errorf("%+v is signed off", ref) }, End: func(store.Ended) {},
		Sessions: func(bool) []store.Session { return slices.Clone(all) },
		Open:     func(store.ConnRef) bool { return true },
		Node:     func() string { batches++; return fmt.Sprint("name", batches) },
	}
	if err := r.Restore(ctxb); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: "name1", restorePace.Size: "name2", len(all) - 1: "name3"} {
		c, err := st.Client(ctxb, all[i].ClientID)
		if err != nil || len(c.Connections) != 1 || c.Connections[0].Node != want {
			t.Errorf("connection %d: %+v %v, want on %s", i, c.Connections, err, want)
		}
	}
}

// A connection that ends while it is being registered is signed off again; one that has ended before is not registered.
func TestWhatEndsMeanwhileIsNotLeftRegistered(t *testing.T) {
	st := open(t, redistest.Start(t))
	session := func(client string) store.Session {
		return store.Session{ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: "n", Device: "d"}
	}
	stays, ended, ends := session("stays"), session("ended"), session("ends")
	looked := 0
	var left []string
	r := &Roll{
		Store: st, Log: zap.NewNop(), Node: func() string { return "n" }, End: func(store.Ended) {},
		Sessions: func(bool) []store.Session { return []store.Session{stays, ended, ends} },
		Open: func(se store.ConnRef) bool {
			if se.ConnID == ends.ConnID {
				looked++
				return looked == 1
			}
			return se.ConnID == stays.ConnID
		},
		Leave: func(ref store.ConnRef) { left = append(left, ref.ConnID) },
	}
	if err := r.Restore(ctxb); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, []string{ends.ConnID}) {
		t.Errorf("signed off %q", left)
	}
	for client, want := range map[string]int{"stays": 1, "ended": 0, "ends": 1} { // the last until it is signed off
		if c, err := st.Client(ctxb, client); err != nil || len(c.Connections) != want {
			t.Errorf("%s has connections %+v, want %d: %v", client, c.Connections, want, err)
		}
	}
}

func TestWhatEndsInABatchThatFailsIsNotLeftRegistered(t *testing.T) {
	redis := redistest.Start(t)
	st := open(t, redis)
	session := func(client string) store.Session {
		return store.Session{ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: "n", Device: "d"}
	}
	ends, other := session("ends"), session("other")
	broken := "im:{" + protocol.Tags(st.Partitions())[st.Partition("other")] + "}:conns:other"
	redis.Do("SET", broken, "x") // stands for a time-out, READONLY, …: this call of the batch fails, the other is carried out
	gone := false
	var left []string
	r := &Roll{
		Store: st, Log: zap.NewNop(), Node: func() string { return "n" }, End: func(store.Ended) {},
		Sessions: func(bool) []store.Session { return []store.Session{ends, other} },
		Open: func(se store.ConnRef) bool {
			if se.ConnID != ends.ConnID {
				return true
			}
			if !gone { // open when it is looked at; then it ends and is signed off, before it is registered
				gone = true
				if err := st.Disconnect(ctxb, "n", []store.ConnRef{{ClientID: se.ClientID, ConnID: se.ConnID}}); err != nil {
					t.Error(err)
				}
				return true
			}
			return false
		},
		Leave: func(ref store.ConnRef) {
			left = append(left, ref.ConnID)
			if !ref.Unsure {
				t.Error("signed off as if its registration were known to be over")
			}
			if err := st.Disconnect(ctxb, "n", []store.ConnRef{ref}); err != nil {
				t.Error(err)
			}
		},
	}
	failures := 0
	if err := r.restore(ctxb, func(error) { failures++; redis.Do("DEL", broken) }, func(store.Session) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if failures != 1 {
		t.Fatalf("%d failures", failures)
	}
	c, err := st.Client(ctxb, "ends")
	if err != nil || len(c.Connections) != 0 || !slices.Contains(left, ends.ConnID) {
		t.Errorf("the connection that ended is registered: %+v, signed off again: %q, %v", c.Connections, left, err)
	}
}

// The next hour brings disconnects of others, too.
func TestOnlyWhatWasInABatchThatFailedIsUnsure(t *testing.T) {
	redis := redistest.Start(t)
	st := open(t, redis)
	var all []store.Session
	for i := range restorePace.Size + 1 {
		client := fmt.Sprint("client", i)
		all = append(all, store.Session{ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: "n", Device: "d"})
	}
	other := all[restorePace.Size]
	broken := "im:{" + protocol.Tags(st.Partitions())[st.Partition("client0")] + "}:conns:client0"
	redis.Do("SET", broken, "x") // stands for a time-out, READONLY, …
	r := &Roll{
		Store: st, Log: zap.NewNop(), Node: func() string { return "n" }, End: func(store.Ended) {},
		Sessions: func(bool) []store.Session { return slices.Clone(all) },
		Open:     func(store.ConnRef) bool { return true },
		Leave:    func(ref store.ConnRef) { t.Errorf("%+v is signed off", ref) },
	}
	failures := 0
	if err := r.restore(ctxb, func(error) { failures++; redis.Do("DEL", broken) }, func(store.Session) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if failures != 1 {
		t.Fatalf("%d failures", failures)
	}
	if r.Unsure(other.ConnID) {
		t.Error("a connection is unsure that was in another batch")
	}
	for _, se := range all[:restorePace.Size] {
		if !r.Unsure(se.ConnID) {
			t.Errorf("%s was in the batch that failed", se.ClientID)
		}
		if r.Unsure(se.ConnID) {
			t.Errorf("%s has been asked for, and is remembered", se.ClientID)
		}
	}
}

// Redis may have forgotten that a connection was signed off, and nobody else would: the node that it is registered for lives.
func TestWhatIsNotHereIsSignedOff(t *testing.T) {
	st := open(t, redistest.Start(t))
	connected := func(client, node string) store.Session {
		se := store.Session{
			ClientID: client, ConnID: protocol.NewConnID(st.Partition(client)), Node: node, Device: "d", JTI: protocol.NewID(), JTITTL: time.Minute,
		}
		if _, err := st.Connect(ctxb, se); err != nil {
			t.Fatal(err)
		}
		return se
	}
	here, gone := connected("here", "n"), connected("gone", "n")
	connected("elsewhere", "another")
	var left []store.ConnRef
	r := &Roll{
		Store: st, Log: zap.NewNop(), Node: func() string { return "n" }, End: func(e store.Ended) { t.Errorf("%+v", e) },
		Sessions: func(bool) []store.Session { return []store.Session{here} },
		Open:     func(ref store.ConnRef) bool { return ref.ConnID == here.ConnID },
		Leave:    func(ref store.ConnRef) { left = append(left, ref) },
	}
	if err := r.CompareAll(ctxb); err != nil {
		t.Fatal(err)
	}
	if want := []store.ConnRef{{ClientID: "gone", ConnID: gone.ConnID}}; !slices.Equal(left, want) {
		t.Errorf("signed off %+v, want %+v", left, want)
	}
}

// Redis went back to a time at which the node had another name.
func TestWhatIsRegisteredUnderAnEarlierNameIsRegisteredAgain(t *testing.T) {
	st := open(t, redistest.Start(t))
	se := store.Session{
		ClientID: "ann", ConnID: protocol.NewConnID(st.Partition("ann")), Node: "before", Device: "d", JTI: protocol.NewID(), JTITTL: time.Minute,
	}
	if _, err := st.Connect(ctxb, se); err != nil {
		t.Fatal(err)
	}
	r := &Roll{
		Store: st, Log: zap.NewNop(), Node: func() string { return "now" }, End: func(store.Ended) {}, Leave: func(store.ConnRef) {},
		Sessions: func(bool) []store.Session { return []store.Session{se} },
		Open:     func(store.ConnRef) bool { return true },
	}
	if err := r.CompareAll(ctxb); err != nil {
		t.Fatal(err)
	}
	if c, err := st.Client(ctxb, "ann"); err != nil || len(c.Connections) != 1 || c.Connections[0].Node != "now" {
		t.Errorf("%+v %v", c, err)
	}
}

// Comparing and registering find out that others have signed the node's connections off. It gets another name then, under which
// all are registered.
func TestThatTheNodeWasStruckOffIsFoundOut(t *testing.T) {
	redis := redistest.Start(t)
	st := open(t, redis)
	se := store.Session{ClientID: "ann", ConnID: protocol.NewConnID(st.Partition("ann")), Device: "d"}
	redis.Do("SET", "im:{"+protocol.Tags(st.Partitions())[st.Partition("ann")]+"}:struck:before", "1")
	for _, how := range []string{"compared", "registered"} {
		node := "before"
		var struck []string
		r := &Roll{
			Store: st, Log: zap.NewNop(), Node: func() string { return node }, End: func(store.Ended) {}, Leave: func(store.ConnRef) {},
			Sessions: func(bool) []store.Session { return []store.Session{se} },
			Open:     func(store.ConnRef) bool { return true },
			Struck:   func(name string) { struck, node = append(struck, name), "after" },
		}
		do := r.CompareAll
		if how == "registered" {
			do = r.Restore
		}
		if err := do(ctxb); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(struck, []string{"before"}) {
			t.Errorf("%s: struck off %q", how, struck)
		}
	}
	if c, err := st.Client(ctxb, "ann"); err != nil || len(c.Connections) != 1 || c.Connections[0].Node != "after" {
		t.Errorf("%+v %v", c, err)
	}
}
