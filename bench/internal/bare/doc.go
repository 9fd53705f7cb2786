// Package bare holds what imtier is compared with: programs that do only the part that cannot be avoided, driven by
// the same generator and the same clients in the same run.
//
//	Accept   net/http and coder/websocket take connections and do nothing with them
//	Fanout   accepts WebSockets and writes one frame to all of them with write(2) in a plain loop
//	Handler  a chi route that parses the body of a send and answers; nothing is sent anywhere
//	Chain    that route and that script, and a subscriber that writes what is announced to one WebSocket
//	Script   Redis keeps a message and announces it, called without anything around it
package bare
