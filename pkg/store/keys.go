package store

import (
	"strings"

	"github.com/imtier/imtier/pkg/protocol"
)

// keyspace makes every name that imtier uses in Redis; nothing else does. A name that belongs to a partition
// begins with the partition's hash tag, so that everything a script touches lies in one slot of a Redis Cluster.
// The tag comes first: braces inside a clientId or a group cannot move the key.
//
// Every name made from a partition number accepts allPartition too, the place of what belongs to no address.
type keyspace struct {
	parts []partKeys // per partition, and that of "all" at the end
}

// partKeys are a partition's prefix, and the names that every send needs: they are made once.
type partKeys struct {
	prefix                      string // "im:{<tag>}:"
	epoch, online               string
	clientChannel, groupChannel string
}

// allPartition stands for the partition of the broadcast stream.
const allPartition = -1

func newKeyspace(partitions int) keyspace {
	k := keyspace{parts: make([]partKeys, 0, partitions+1)}
	for _, tag := range append(protocol.Tags(partitions), "all") {
		prefix := "im:{" + tag + "}:"
		k.parts = append(k.parts, partKeys{
			prefix: prefix, epoch: prefix + "epoch", online: prefix + "online", clientChannel: prefix + "c", groupChannel: prefix + "g",
		})
	}
	return k
}

func (k keyspace) partitions() int { return len(k.parts) - 1 }

func (k keyspace) part(p int) *partKeys {
	if p == allPartition {
		p = k.partitions()
	}
	return &k.parts[p]
}

func (k keyspace) of(p int) string { return k.part(p).prefix }

// partition is where an address (a clientId or a group) lives.
func (k keyspace) partition(addr string) int { return protocol.Partition(addr, k.partitions()) }

// partitionOf is where a stream lives.
func (k keyspace) partitionOf(st protocol.Stream) int {
	if st.Kind == protocol.All {
		return allPartition
	}
	return k.partition(st.Name)
}

// Streams.

func (k keyspace) stream(st protocol.Stream) string { return k.streamIn(k.partitionOf(st), st) }

// streamIn is stream for a caller who knows the partition.
func (k keyspace) streamIn(partition int, st protocol.Stream) string {
	p := k.of(partition)
	switch st.Kind {
	case protocol.Inbox:
		return p + "s:i:" + st.Name
	case protocol.Group:
		return p + "s:g:" + st.Name
	default:
		return p + "s"
	}
}

// epoch holds the partition's fence: no position with a smaller epoch is given out any more.
func (k keyspace) epoch(p int) string { return k.part(p).epoch }

// idem remembers the position of a send with a caller's id. The parts are joined by line feeds, which no name
// contains.
func (k keyspace) idem(st protocol.Stream, from, id string) string {
	return k.of(k.partitionOf(st)) + "idem:" + string(rune(st.Kind)) + ":" + from + "\n" + st.Name + "\n" + id
}

// Clients.

func (k keyspace) online(p int) string         { return k.part(p).online }    // zset, score 0
func (k keyspace) leaving(p int) string        { return k.of(p) + "leaving" } // zset clientId → due, ms
func (k keyspace) seen(client string) string   { return k.of(k.partition(client)) + "seen:" + client }
func (k keyspace) conns(client string) string  { return k.of(k.partition(client)) + "conns:" + client }
func (k keyspace) groups(client string) string { return k.of(k.partition(client)) + "groups:" + client }
func (k keyspace) cursor(client string) string { return k.of(k.partition(client)) + "cursor:" + client }

// Receipts: see prelude_receipts.lua.

func (k keyspace) awaitPrefix(p int) string   { return k.of(p) + "await:" }
func (k keyspace) duePrefix(p int) string     { return k.of(p) + "due:" }
func (k keyspace) await(client string) string { return k.awaitPrefix(k.partition(client)) + client }
func (k keyspace) due(client string) string   { return k.duePrefix(k.partition(client)) + client }
func (k keyspace) expiry(p int) string        { return k.of(p) + "expiry" }
func (k keyspace) untold(p int) string        { return k.of(p) + "untold" }

// last remembers, per client in its grace, the connection that closed last: its going offline is told with it.
func (k keyspace) last(p int) string { return k.of(p) + "last" }

// Scripts that handle many clients of a partition complete these with a clientId or a node's name.

func (k keyspace) connsPrefix(p int) string     { return k.of(p) + "conns:" }
func (k keyspace) groupsPrefix(p int) string    { return k.of(p) + "groups:" }
func (k keyspace) seenPrefix(p int) string      { return k.of(p) + "seen:" }
func (k keyspace) nodeConnsPrefix(p int) string { return k.of(p) + "node:" }
func (k keyspace) resumePrefix(p int) string    { return k.of(p) + "resume:" }

// resume marks a connection that closed not long ago and may be resumed.
func (k keyspace) resume(p int, conn string) string { return k.resumePrefix(p) + conn }

// connects counts the connects of a client within a second.
func (k keyspace) connects(client string) string {
	return k.of(k.partition(client)) + "connects:" + client
}

// Revocations: of a client, and of a connect URL with all connections that go back to it. The latter lie in the partition
// of the URL's client or, when that is not known, in every one.

func (k keyspace) revokedClientPrefix(p int) string    { return k.of(p) + "revoked:c:" }
func (k keyspace) revokedURLPrefix(p int) string       { return k.of(p) + "revoked:u:" }
func (k keyspace) revokedURL(p int, jti string) string { return k.revokedURLPrefix(p) + jti }
func (k keyspace) revokedClient(client string) string {
	return k.revokedClientPrefix(k.partition(client)) + client
}

// ended marks a connection whose node may not have heard that it has to close it, or that must not be registered any more;
// connIds complete the prefix.
func (k keyspace) endedPrefix(p int) string { return k.of(p) + "ended:" }

// struck marks a node that was struck off: what it sent before must not register anybody under its name.
func (k keyspace) struck(p int, node string) string { return k.of(p) + "struck:" + node }

// jti marks a pre-connect URL as used; it lives where the client of the URL does.
func (k keyspace) jti(client, jti string) string { return k.of(k.partition(client)) + "jti:" + jti }

// Groups.

func (k keyspace) members(group string) string { return k.of(k.partition(group)) + "members:" + group }
func (k keyspace) grouplist(p int) string      { return k.of(p) + "grouplist" }
func (k keyspace) unsynced(p int) string       { return k.of(p) + "unsynced" }

// left holds "client LF group" of memberships that ended and whose end is still to be reported.
func (k keyspace) left(p int) string { return k.of(p) + "left" }

// noticing lists the groups of a partition that want to be told who enters and who leaves; anyNoticing is there once
// there was one.
func (k keyspace) noticing(p int) string { return k.of(p) + "noticing" } // set
func (k keyspace) anyNoticing() string   { return k.of(allPartition) + "noticing" }

// Nodes.

// nodeConns lists the connections of a node in partition p: what there is to reap when the node dies.
func (k keyspace) nodeConns(p int, node string) string { return k.of(p) + "node:" + node }

func (k keyspace) nodes() string           { return "im:nodes" }
func (k keyspace) node(node string) string { return "im:node:" + node }

// claimed marks a node that is being struck off, or has been. Its hash tag is the name of the lease: both lie in one slot.
func (k keyspace) claimed(node string) string { return "im:claimed:{" + k.node(node) + "}" }

// The whole.

func (k keyspace) events(p int) string { return k.of(p) + "events" }

// eventLock says which consumer of a group reads the events of partition p.
func (k keyspace) eventLock(p int, group string) string { return k.of(p) + "events:lock:" + group }

// consumers are those of a group that are alive: zset, score = last sign of life in ms.
func (k keyspace) consumers(group string) string { return k.of(allPartition) + "consumers:" + group }

// Requests of clients, and who answers them.

func (k keyspace) requests(p int) string                  { return k.of(p) + "requests" }
func (k keyspace) requestLock(p int, group string) string { return k.of(p) + "requests:lock:" + group }
func (k keyspace) answerers(group string) string          { return k.of(allPartition) + "answerers:" + group }
func (k keyspace) replies(p int, origin string) string {
	return k.of(p) + "replies:" + origin
}
func (k keyspace) requestChannel() string { return k.of(allPartition) + "r" }

// dead holds what could not be delivered to a webhook.
func (k keyspace) dead() string { return k.of(allPartition) + "dead" }

func (k keyspace) config() string  { return k.of(allPartition) + "config" }
func (k keyspace) janitor() string { return k.of(allPartition) + "janitor" }

// probe is both a key and a channel.
func (k keyspace) probe(node string) string { return k.of(allPartition) + "probe:" + node }

// never names a key that does not exist, in the slot of a partition's key.
func (k keyspace) never(key string) string {
	tag, _, _ := strings.Cut(key, "}")
	return tag + "}:never"
}

// Channels.

func (k keyspace) clientChannel(p int) string { return k.part(p).clientChannel }
func (k keyspace) groupChannel(p int) string  { return k.part(p).groupChannel }
func (k keyspace) allChannel() string         { return k.clientChannel(allPartition) }
func (k keyspace) eventChannel() string       { return k.of(allPartition) + "e" }

// waiter is where somebody hears what became of messages it waits for; names of waiters complete the prefix.
func (k keyspace) waiterPrefix() string { return k.of(allPartition) + "w:" }

// global tells of a channel of a Cluster that scripts of any partition publish on: by PUBLISH, which every server hears.
// All others belong to a partition, whose server alone tells who follows them.
func (k keyspace) global(channel string) bool {
	return channel == k.eventChannel() || channel == k.requestChannel() || strings.HasPrefix(channel, k.waiterPrefix())
}

// ClientChannel carries what is addressed to the clients of partition p: inbox messages, membership changes and
// orders to close connections.
func (s *Store) ClientChannel(p int) string { return s.keys.clientChannel(p) }

// GroupChannel carries the messages of the groups of partition p.
func (s *Store) GroupChannel(p int) string { return s.keys.groupChannel(p) }

// AllChannel carries broadcasts.
func (s *Store) AllChannel() string { return s.keys.allChannel() }

// EventChannel hints at events: each message is the number of a partition that has new ones.
func (s *Store) EventChannel() string { return s.keys.eventChannel() }

// Partition maps a clientId or a group to its partition.
func (s *Store) Partition(addr string) int { return s.keys.partition(addr) }

// Partitions is how many partitions the address space has.
func (s *Store) Partitions() int { return s.keys.partitions() }
