// Package tcp has connections that cost nothing while they are silent: no goroutine, no buffer, no place in Go's poller, and
// no more memory than their descriptor's number. It knows nothing of HTTP or WebSockets.
//
//	Listener ─ accepts; nobody waits for what comes next
//	   │
//	 Conn ── SendNow, RecvNow: what can be done at once, which is nearly everything
//	   │ what cannot: Conn is a net.Conn, and enters Go's poller with the first call that has to wait
//	   │
//	Parker ── one epoll in which all silent connections wait; it calls a Waiter when something has come
//
// Where the system is not Linux, connections are Go's, and there is no Parker.
package tcp
