// Package clients is the other side of a benchmark: as many WebSocket clients as one process may have descriptors,
// as cheap as they can be, so that what is measured is the server. One thread serves
// all sockets through epoll: it connects, makes the handshake by hand, answers pings, starts imtier.v1 and notes when
// messages arrive.
//
//	Fleet.Open ── opening ──▶ loop (one thread, epoll) ──▶ recorder
//
// A fleet runs in a process of its own (Work), driven by the scenario.
package clients
