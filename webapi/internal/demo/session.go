package demo

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	sessionLife = 24 * time.Hour // a page that stays open longer asks for the nickname again
	audience    = "imtier-demo"
	keyBytes    = 32
	maxToken    = 2 << 10 // bytes; a session's is below 400
)

// sessions signs and checks the tokens that say who somebody is.
type sessions struct{ key []byte }

// newSessions derives the key for tokens from a secret that all webapis share.
func newSessions(secret []byte) (*sessions, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "imtier demo sessions", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key of sessions: %w", err)
	}
	return &sessions{key}, nil
}

func (s *sessions) sign(clientID string, now time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject:   clientID,
		Audience:  jwt.ClaimStrings{audience},
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(sessionLife)),
	}).SignedString(s.key)
}

var errNoSession = errors.New("no valid session")

// verify returns the clientId that a token was signed for.
func (s *sessions) verify(token string) (string, error) {
	if len(token) > maxToken {
		return "", errNoSession
	}
	claims := &jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return s.key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		return "", errNoSession
	}
	if _, ok := nicknameOf(claims.Subject); !ok {
		return "", errNoSession
	}
	return claims.Subject, nil
}

// person is who makes a request.
type person struct{ id, name string }

// withPerson calls next for requests that show a session, and refuses the others.
func (d *Demo) withPerson(next func(http.ResponseWriter, *http.Request, person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			refuse(w, http.StatusUnauthorized, "no_session", "Choose a nickname first.")
			return
		}
		id, err := d.sessions.verify(token)
		if err != nil {
			refuse(w, http.StatusUnauthorized, "no_session", "The session is not valid any more.")
			return
		}
		if !d.limits.allow(id) {
			tooFast(w)
			return
		}
		name, _ := nicknameOf(id)
		next(w, r, person{id, name})
	}
}

// login answers POST /demo/session.
func (d *Demo) login(w http.ResponseWriter, r *http.Request) {
	if !d.limits.allow("address " + hostOf(r.RemoteAddr)) {
		tooFast(w)
		return
	}
	var in struct {
		Name string `json:"name"`
	}
	if !decode(w, r, &in) {
		return
	}
	name, ok := cleanName(in.Name, maxNickname)
	if !ok {
		refuse(w, http.StatusBadRequest, "bad_name",
			fmt.Sprintf("A nickname has 1 to %d characters that can be seen.", maxNickname))
		return
	}
	id := newClientID(name)
	token, err := d.sessions.sign(id, time.Now())
	if err != nil {
		d.fail(w, fmt.Errorf("sign a session: %w", err))
		return
	}
	answer(w, http.StatusCreated, map[string]string{"token": token, "clientId": id, "name": name})
}

// me answers GET /demo/me: a page that was reloaded asks where it was.
func (d *Demo) me(w http.ResponseWriter, r *http.Request, p person) {
	rooms, err := d.roomsOf(r.Context(), p.id)
	if err != nil {
		d.fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"clientId": p.id, "name": p.name, "rooms": rooms})
}

func (d *Demo) roomsOf(ctx context.Context, clientID string) ([]string, error) {
	groups, err := d.im.GroupsOf(ctx, clientID)
	if err != nil {
		return nil, err
	}
	rooms := []string{}
	for _, g := range groups {
		if room, ok := roomOfGroup(g); ok {
			rooms = append(rooms, room)
		}
	}
	return rooms, nil
}
