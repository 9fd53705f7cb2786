package server

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// entry reads the URL's token, or the session token of a connection that is to be resumed.
func (s *Server) entry(r *http.Request, from netip.Addr) (store.Session, *refusal) {
	query := r.URL.Query()
	if token := query.Get("session"); token != "" {
		t, err := s.o.Keys.VerifySession(token)
		if err != nil {
			return store.Session{}, refusalOfToken(err)
		}
		se := s.session(r, from, t.ClientID, t.Device)
		se.Resume, se.JTI, se.Meta, se.Origin, se.MayRequest = t.ConnID, t.JTI, t.Meta, t.Origin, t.MayRequest
		return withPolicy(se, t.Policy)
	}
	token := query.Get("token")
	if token == "" {
		return store.Session{}, refuseNoToken
	}
	c, err := s.o.Keys.Verify(token)
	if err != nil {
		return store.Session{}, refusalOfToken(err)
	}
	se := s.session(r, from, c.ClientID, c.Device)
	se.JTI, se.JTITTL = c.JTI, usedFor(c)
	se.Meta, se.Groups, se.UntilOffline = c.Meta, c.Groups, c.UntilOffline
	se.Origin, se.MayRequest = se.ConnID, c.MayRequest
	return withPolicy(se, c.Policy)
}

// usedFor is how long a URL has to be remembered as used. Its whole life is long enough for all clocks that are not late by more
// than the margin; until it expires by this node's would be too short when that is ahead, and another node would take it once more.
func usedFor(c ticket.Claims) time.Duration {
	return max(c.ExpiresAt.Sub(c.IssuedAt), time.Until(c.ExpiresAt)) + usedMargin
}

// withPolicy adds the device policy of a token that has one.
func withPolicy(se store.Session, policy string) (store.Session, *refusal) {
	if policy == "" {
		return se, nil
	}
	var err error
	if se.Policy, err = store.ParseDevicePolicy(policy); err != nil {
		return store.Session{}, refuseInvalid // signed by a newer version, or by somebody else's program
	}
	return se, nil
}

func refusalOfToken(err error) *refusal {
	if errors.Is(err, ticket.ErrExpired) {
		return refuseExpired
	}
	return refuseInvalid
}

// session is what a new connection registers, whoever it is.
func (s *Server) session(r *http.Request, from netip.Addr, clientID, device string) store.Session {
	ip := ""
	if from.IsValid() {
		ip = from.String()
	}
	return store.Session{
		ClientID: clientID, Device: device, ConnID: protocol.NewConnID(s.o.Partition(clientID)),
		Node: s.o.Node(), IP: ip, Since: time.Now(),
	}
}

// hello is the first frame of a connection that speaks imtier.v1.
func (s *Server) hello(se store.Session) []byte {
	resume, err := s.o.Keys.SignSession(ticket.Session{
		ClientID: se.ClientID, Device: se.Device, ConnID: se.ConnID, Origin: se.Origin, Meta: se.Meta, MayRequest: se.MayRequest,
		Policy: string(se.Policy), JTI: se.JTI,
	})
	if err != nil { // the client can come back with a new URL, but not by its session
		s.o.Log.Warn("session token", zap.String("client_id", se.ClientID), zap.Error(err))
	}
	return protocol.Hello{
		ClientID: se.ClientID, ConnID: se.ConnID, Node: se.Node, Session: resume, Ping: int(s.o.Ping / time.Second),
	}.Frame()
}
