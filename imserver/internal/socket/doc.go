// Package socket owns one WebSocket connection at the level of bytes: the handshake, reading without a buffer, a
// goroutine or a library's state while nothing arrives, writing without ever blocking the caller, and ending exactly once
// with the first reason. It knows nothing of clients, streams or Redis.
//
//	Handshake ─ takes the connection over from the entrance, without its buffers
//	   │
//	park ◀──────────────┐   no goroutine: the Parker watches until there is something to read
//	   │ readable       │
//	read ── takes a reader ── Handler.Message ── nothing buffered any more: the reader is the next one's
//
//	Send ── outbox: write(2) now, keep what does not fit, flush it from a goroutine that lives only as long
//	End  ── close frame, half close, and the reader sees the peer's answer or the sweep closes the descriptor
//
// Framing, masking and the protocol's rules on the way in are coder/websocket's. On the way out a frame is built
// once by Frame and written to many sockets as it is, since frames of a server are not masked.
package socket
