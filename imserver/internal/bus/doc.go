// Package bus connects Redis with the hub: it subscribes to the channels of those partitions in which a local
// connection follows something, turns what arrives into messages for the hub, acts on what concerns clients
// (joined, left, close), and sees to it that an interruption loses nothing.
//
//	Redis ── Subscriber ── Message ─┬─▶ hub.Deliver                       (dispatch.go)
//	                                └─▶ control workers: join, leave, close (control.go)
//	server ── Admit: hold topics, subscribe, register in Redis, attach     (admit.go)
//	interrupted ── confirm fences (life.go), verify tails, compare memberships (repair.go)
//
// The order in Admit and follow is what makes "nothing is missed" true: first the topic exists and notes what
// arrives, then Redis confirms the subscription, then the stream's tail is read, then the connection is attached
// at that tail.
package bus
