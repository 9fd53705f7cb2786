// Package ticket signs and verifies the token inside a pre-connect URL: a JWT (RFC 7519) that names one client,
// lives for a minute at most and opens one connection.
//
//	webapi or a backend:  Keys.Sign(Claims)  → "wss://node/ws?token=…"
//	imserver:             Keys.Verify(token) → Claims, then the connect script marks Claims.JTI used
//
// Verify only proves that a token was issued by somebody who holds a key and that its time has not passed. That
// it works once is the business of the connect script in Redis, which refuses a JTI that it has seen.
//
// A token is a password for as long as it lives. No error of this package contains one.
package ticket
