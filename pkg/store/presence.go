package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"
)

// ClientInfo is what is known about a client. One that was never seen has only its id.
type ClientInfo struct {
	ClientID    string
	Online      bool      // true in the grace, too
	LastSeen    time.Time // when it last went offline; zero when that is unknown or longer ago than 30 days
	Groups      []Membership
	Connections []Connection // oldest first
}

// Connection is one entry of a client's session list.
type Connection struct {
	ConnID string
	Device string
	Node   string
	Since  time.Time
	IP     string
	JTI    string          // of the URL that it goes back to
	Meta   json.RawMessage // as it was given at pre-connect; empty when there was none
}

// Online says for each client whether it is online; a client in its grace is.
func (s *Store) Online(ctx context.Context, ids []string) (map[string]bool, error) {
	var cmds []rueidis.Completed
	var places [][]int
	for p, all := range byPartition(s, ids, func(id string) string { return id }) {
		for chunk := range slices.Chunk(all, scriptBatch) {
			members := make([]string, len(chunk))
			for i, place := range chunk {
				members[i] = ids[place]
			}
			cmds = append(cmds, s.client.B().Zmscore().Key(s.keys.online(p)).Member(members...).Build())
			places = append(places, chunk)
		}
	}
	out := make(map[string]bool, len(ids))
	for i, r := range s.doMulti(ctx, cmds...) {
		scores, err := r.ToArray()
		if err != nil {
			return nil, wrap("query who is online", err)
		}
		for j, score := range scores {
			out[ids[places[i][j]]] = !score.IsNil()
		}
	}
	return out, nil
}

// OnlineClients lists the clients that are online in a stable order, at most limit (1000) at a time. The cursor of the
// first page is empty, and so is the one returned with the last.
func (s *Store) OnlineClients(ctx context.Context, cursor string, limit int) (ids []string, next string, err error) {
	ids, next, err = s.page(ctx, s.keys.online, cursor, limit)
	return ids, next, wrap("list online clients", err)
}

// Client returns everything known about a client.
func (s *Store) Client(ctx context.Context, id string) (*ClientInfo, error) {
	b := s.client.B()
	rs := s.doMulti(ctx,
		b.Zscore().Key(s.keys.online(s.keys.partition(id))).Member(id).Build(),
		b.Get().Key(s.keys.seen(id)).Build(),
		b.Hgetall().Key(s.keys.groups(id)).Build(),
		b.Hgetall().Key(s.keys.conns(id)).Build())
	for _, r := range rs {
		if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
			return nil, wrap("look up "+id, err)
		}
	}
	info := &ClientInfo{ClientID: id, Online: rs[0].Error() == nil}
	if ms, err := rs[1].AsInt64(); err == nil && !info.Online {
		info.LastSeen = time.UnixMilli(ms)
	}
	truth, err := rs[2].AsStrMap()
	if err != nil {
		return nil, wrap("look up "+id, err)
	}
	info.Groups = memberships(truth)
	conns, err := rs[3].AsStrMap()
	if err != nil {
		return nil, wrap("look up "+id, err)
	}
	for connID, text := range conns {
		var r record
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("look up %s: connection %s: %w", id, connID, err)
		}
		info.Connections = append(info.Connections,
			Connection{connID, r.Device, r.Node, time.UnixMilli(r.Since), r.IP, r.JTI, r.Meta})
	}
	slices.SortFunc(info.Connections, func(a, b Connection) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ConnID, b.ConnID))
	})
	return info, nil
}
