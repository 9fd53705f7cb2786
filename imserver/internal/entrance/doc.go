// Package entrance answers HTTP requests that become WebSocket connections: one request per TCP connection, and a handler
// that either takes the connection over (http.Hijacker) or answers, after which it is closed.
//
//	Accept → worker → http.ReadRequest → handler → hijacked, or the answer and close
//	            ↕ nothing has come yet
//	          Parker
//
// It stands where net/http's server would. That one gives each connection 12 KiB of buffers that the garbage collector
// has to find when it is hijacked, a goroutine whose stack is grown anew by copying, and a second reader in the
// background; here buffers and goroutines are used again for the next connection. Measured with 10,000 handshakes this
// took a quarter of the node's processor time for them, and holes in the heap that stayed. A connection that has sent nothing has
// neither goroutine nor buffer: it waits with the Parker. Parsing is net/http's.
package entrance
