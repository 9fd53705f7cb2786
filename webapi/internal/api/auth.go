package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"go.uber.org/zap"
)

// UserVerifier checks the product's own user tokens. usertoken.Verifier does it.
type UserVerifier interface {
	// Verify returns the token's subject, the clientId.
	Verify(ctx context.Context, token string) (clientID string, err error)
}

// Keys are the API keys, of which only digests are kept.
type Keys [][sha256.Size]byte

// NewKeys digests API keys.
func NewKeys(keys []string) Keys {
	k := make(Keys, len(keys))
	for i, s := range keys {
		k[i] = sha256.Sum256([]byte(s))
	}
	return k
}

// has compares in constant time with every key: neither which key is close nor how many there are shows in the time.
func (k Keys) has(key string) bool {
	digest := sha256.Sum256([]byte(key))
	found := 0
	for i := range k {
		found |= subtle.ConstantTimeCompare(digest[:], k[i][:])
	}
	return found == 1
}

// credential is what a request presents: the Bearer token, else X-API-Key, else nothing. One that is present but
// malformed counts as a wrong one.
func credential(r *http.Request) (value string, present bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, value, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", true
		}
		return strings.TrimSpace(value), true
	}
	value = r.Header.Get("X-Api-Key")
	return value, value != ""
}

// caller is who asks for a connection.
type caller struct {
	trusted bool   // has an API key: may ask for anything
	user    string // the clientId of a user token; empty for a guest
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// requireKey lets requests with an API key through.
func (a *API) requireKey(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if value, _ := credential(r); value == "" || !a.keys.has(value) {
			unauthorized(w)
			return
		}
		next(w, r)
	}
}

// identify lets through who has an API key, a user token or, if guests are allowed, no credential at all. A wrong
// credential never makes a guest.
func (a *API) identify(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var who caller
		value, present := credential(r)
		switch {
		case !present && a.guests:
		case value != "" && a.keys.has(value):
			who.trusted = true
		case value != "" && a.users != nil:
			user, err := a.users.Verify(r.Context(), value)
			if err != nil {
				a.log.Debug("user token refused", zap.Error(err))
				unauthorized(w)
				return
			}
			who.user = user
		default:
			unauthorized(w)
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	}
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="imtier"`)
	problem(http.StatusUnauthorized, codeUnauthorized,
		"a valid API key is required: Authorization: Bearer <key>, or X-API-Key: <key>").write(w)
}
