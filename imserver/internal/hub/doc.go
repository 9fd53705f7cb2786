// Package hub is the heart of an imserver: which connection follows which stream, and how a message that
// arrived from Redis reaches their sockets. It knows sockets, not Redis; what it needs of the log it asks for
// through the Log interface, and the bus feeds it.
//
//	bus ── Deliver ─▶ shard.in ─▶ topic.queue ─▶ slices of a plain loop ─▶ socket.Send
//	                     │ does not continue the tail           │ full
//	                     ▼                                      ▼
//	              repair the topic from the log      the follow is behind: catch up from the log
//
// A topic is one stream as this node sees it: its tail, its members and what waits to be fanned out. A follow is
// one connection in one topic, with a position of its own. One mechanism repairs everything (catchup.go): what is
// missing is read from the log after a position, in bounded batches, until nothing is left; then it is live again.
//
// Invariants:
//   - a follow that is live has been given every message of its topic up to the one being fanned out;
//   - positions given to one connection for one stream rise strictly;
//   - nothing that this package does for one socket waits for another.
package hub
