package store

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/compare.lua
var compareLua string

var compareScript = newRoamingScript("compare", preludeLua+compareLua)

// endedFor is how long it is remembered that a connection was ended, for a node that could not be told. Nodes clear the
// marks of what they close; what remains is of nodes that died. A node that is away from Redis for longer and comes back
// registers such a connection again: a device policy still finds it, an order to close it is forgotten.
const endedFor = time.Hour

// Ended is a connection that is open on a node, but must not be.
type Ended struct {
	ClientID string
	ConnID   string
	Code     int    // close code
	By       string // the device that took its place, if one did
}

// Restore registers connections again that are still open but that Redis has forgotten: after the node was claimed,
// under a new node name, or after Redis lost data. It returns those that must be closed instead: their client or
// URL is revoked, or they were ended. Those that a device policy no longer allows are removed, and told to close like
// others. Repeating it does no harm. ErrStruckOff when the node's name is no good.
func (s *Store) Restore(ctx context.Context, sessions []Session) ([]Ended, error) {
	calls := make([]call, 0, len(sessions))
	for _, se := range sessions {
		c, err := s.connectCall(se, 0)
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	replies, err := s.runChunks(ctx, connectScript, calls, "restore connections")
	if err != nil {
		return nil, err
	}
	var ended []Ended
	for i, m := range replies {
		e, err := endedOf(m)
		if err != nil {
			return nil, wrap("restore connections", err)
		}
		if e.Code != 0 {
			e.ClientID, e.ConnID = sessions[i].ClientID, sessions[i].ConnID
			ended = append(ended, e)
		}
	}
	return ended, nil
}

// endedOf reads what connect.lua returned for a connection that was to be restored; Code is 0 if it was.
func endedOf(m *rueidis.RedisMessage) (e Ended, err error) {
	reply, err := m.ToArray()
	if err != nil {
		return e, err
	}
	state, err := reply[0].AsInt64()
	if err != nil {
		return e, err
	}
	switch state {
	case connectLate:
		return e, errLate
	case connectStruck:
		return e, ErrStruckOff
	case connectRevoked:
		e.Code = protocol.ReasonRevoked.Code()
	case connectEnded:
		text, err := reply[1].ToString()
		if err != nil {
			return e, err
		}
		return parseEnded(text)
	}
	return e, nil
}

// parseEnded reads the mark of an ended connection: its close code and, on a line of its own, whose device is the cause.
func parseEnded(text string) (e Ended, err error) {
	code, by, _ := strings.Cut(text, "\n")
	e.Code, err = strconv.Atoi(code)
	e.By = by
	return e, err
}

// Compare finds out which connections that are open on a node have to be closed, since their node was not there to hear
// it, and which ones Redis does not know, or under another name of the node. The latter are returned by their places in
// sessions. ErrStruckOff when all are to be registered again, under a new name.
func (s *Store) Compare(ctx context.Context, node string, sessions []Session) (ended []Ended, unknown []int, err error) {
	var calls []call
	var chunks [][]int
	revoked := strconv.Itoa(protocol.ReasonRevoked.Code())
	for p, places := range byPartition(s, sessions, func(se Session) string { return se.ClientID }) {
		for chunk := range slices.Chunk(places, scriptBatch) {
			k := s.keys
			args := []string{k.connsPrefix(p), k.endedPrefix(p), k.revokedClientPrefix(p), k.revokedURLPrefix(p), revoked, node}
			for _, i := range chunk {
				args = append(args, sessions[i].ClientID, sessions[i].ConnID, sessions[i].JTI)
			}
			calls = append(calls, call{[]string{k.struck(p, node)}, args})
			chunks = append(chunks, chunk)
		}
	}
	replies, err := s.runChunks(ctx, compareScript, calls, "compare connections")
	if err != nil {
		return nil, nil, err
	}
	for i, m := range replies {
		struck, found, err := numberAndPairs(m)
		if err != nil {
			return nil, nil, wrap("compare connections", err)
		}
		if struck == 1 {
			return nil, nil, wrap("compare connections", ErrStruckOff)
		}
		for _, f := range found {
			n, err := strconv.Atoi(f[0])
			if err != nil || n < 0 || n >= len(chunks[i]) {
				return nil, nil, wrap("compare connections", errors.New("compare.lua returned a place that there is not"))
			}
			place := chunks[i][n]
			if f[1] == "" {
				unknown = append(unknown, place)
				continue
			}
			e, err := parseEnded(f[1])
			if err != nil {
				return nil, nil, wrap("compare connections", err)
			}
			e.ClientID, e.ConnID = sessions[place].ClientID, sessions[place].ConnID
			ended = append(ended, e)
		}
	}
	return ended, unknown, nil
}

// Registered lists the connections that Redis has of a node, of clients of some partitions.
func (s *Store) Registered(ctx context.Context, node string, partitions []int) ([]ConnRef, error) {
	cmds := make([]rueidis.Completed, len(partitions))
	for i, p := range partitions {
		cmds[i] = s.client.B().Hgetall().Key(s.keys.nodeConns(p, node)).Build()
	}
	var refs []ConnRef
	for _, r := range s.doMulti(ctx, cmds...) {
		conns, err := r.AsStrMap()
		if err != nil {
			return nil, wrap("list the connections of "+node, err)
		}
		for conn, client := range conns {
			refs = append(refs, ConnRef{ClientID: client, ConnID: conn})
		}
	}
	return refs, nil
}
