// Package fastpath answers the requests that a busy API gets most: small POSTs, one after the other on connections that
// stay open. It stands between a port and net/http, and whatever is not that plain goes on to net/http.
//
//	port → Listener ─┬─ a small, plain POST → handler → answer → the next one
//	                 └─ anything else → Accept → http.Server, for the rest of the connection
//
// Why net/http does not serve these too: for each request it starts a goroutine that reads in the background, to notice a
// client that goes away, changes four timers and writes the header through two buffers. That was a quarter of webapi's
// processor time for a send, about as much as everything that webapi does by itself (docs/decisions.md).
//
// Parsing HTTP is where servers and the proxies before them come to disagree about where a request ends. So this package
// refuses nothing and repairs nothing: it takes what has one meaning only (POST, HTTP/1.1, plain names and values, one
// Host, one Content-Length, the whole request there at once), and net/http decides about the rest from its first byte.
// A fuzz test checks that net/http reads what is taken here as the same request with the same end.
//
// What a handler has to know:
//
//   - Its answer is sent when it returns. There is no flushing and no taking the connection over: both are
//     http.ErrNotSupported.
//   - The fields of a request's header are for reading, and until the answer: those of the next request may be the same map.
//   - The request's context is the server's. It does not end when the client goes away, which is not noticed before the
//     answer.
package fastpath
