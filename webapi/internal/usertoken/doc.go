// Package usertoken verifies the product's own user tokens: JWTs that its login gives to users, by which a page may
// ask for a connection without a backend in between. The subject is the clientId.
//
// The key is given as it is (ParseKey), or as a JWK Set in a file or at a URL (OpenJWKS), which is read again while
// the program runs. The algorithm follows from the key, never from the token: HS256 for a secret, RS256 for an RSA
// key, ES256 for a key on P-256.
//
// The JWK Set reader is ours: it takes RSA and P-256 signature keys and nothing else, which is a page of code; the
// general libraries for it bring storage, HTTP caching and a dozen key types.
package usertoken
