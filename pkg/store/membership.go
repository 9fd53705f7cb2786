package store

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imtier/imtier/pkg/protocol"
)

// A membership is written in two places that may lie on different Redis servers: the truth with the client, and
// an index of it with the group. A change takes three steps:
//
//	1 truth.lua   change the truth, leave a mark in unsynced
//	2 index.lua   write the index as the truth says, learn where the group's stream ends
//	3 settle.lua  if the truth still says so: set where the membership starts, announce it, report the event,
//	              remove the mark; otherwise back to 2 with the opposite
//
// Everybody who writes an index has a mark of its own meanwhile, so whoever comes last compares last, and whoever
// dies on the way is finished by the janitor. Where everything is on one server, connect.lua takes the three steps in one
// for the groups of a URL.

//go:embed lua/truth.lua
var truthLua string

//go:embed lua/index.lua
var indexLua string

//go:embed lua/settle.lua
var settleLua string

var (
	truthScript  = newRoamingScript("truth", preludeLua+truthLua)
	indexScript  = newRoamingScript("index", indexLua)
	settleScript = newRoamingScript("settle", preludeLua+settleLua)
)

// settleRounds bounds how often steps 2 and 3 are repeated while others change the same membership. After that the
// mark stays and the janitor finishes.
const settleRounds = 16

// Membership is one group of a client.
type Membership struct {
	Group        string
	UntilOffline bool
	Pos          protocol.Position // where it starts: what came later in the group's stream is for this client; zero: all of it
	Synced       bool              // false while a change is under way; Pos is not known then, unless it is all of it
	History      bool              // it includes all that was there when it began; known also while not Synced
}

// The operations of truth.lua.
const (
	opJoin  = "join"
	opLeave = "leave"
	opClaim = "claim" // changes nothing: takes a mark, to bring the index in line with the truth
)

// What truth.lua returns for each membership.
const (
	truthChanged = 1 << iota
	truthMember
	truthWrite
)

// pair names a membership.
type pair struct{ client, group string }

// change is a membership whose index is being written.
type change struct {
	pair
	member bool              // what the index is to say
	pos    protocol.Position // where the group's stream ended when the index was written
}

// newToken names the caller in marks and locks.
func newToken() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// JoinOptions say what kind of membership a new one is. The zero value is a lasting one that starts now.
type JoinOptions struct {
	UntilOffline bool // it ends when the client goes offline
	History      bool // it starts at the oldest message that is kept
}

// truth is what truth.lua writes for a new membership: its mode, and what stands for the position until it is known.
func (o JoinOptions) truth() string {
	if o.History {
		return mode(o.UntilOffline) + " +"
	}
	return mode(o.UntilOffline) + " -"
}

// mode is how the truth says whether a membership ends with the client's being online.
func mode(untilOffline bool) string {
	if untilOffline {
		return "o"
	}
	return "p"
}

// membershipOf reads "<mode> <position>" as the truth has it.
func membershipOf(group, truth string) Membership {
	m, text, _ := strings.Cut(truth, " ")
	pos, err := protocol.ParsePosition(text) // "-" or "+" until it is synced
	return Membership{Group: group, UntilOffline: m == "o", Pos: pos, Synced: err == nil, History: text == "+" || err == nil && pos.IsZero()}
}

// memberships reads the truth of one client, sorted by group.
func memberships(truth map[string]string) []Membership {
	out := make([]Membership, 0, len(truth))
	for group, t := range truth {
		out = append(out, membershipOf(group, t))
	}
	slices.SortFunc(out, func(a, b Membership) int { return cmp.Compare(a.Group, b.Group) })
	return out
}

// change does all three steps for many memberships and returns how many really changed. Some of them may have
// changed when it fails; repeating it finishes the rest.
func (s *Store) change(ctx context.Context, op, truth string, pairs []pair) (int, error) {
	token := newToken()
	todo, changed, err := s.writeTruth(ctx, op, truth, token, pairs)
	_, err2 := s.settle(ctx, token, todo)
	return changed, errors.Join(err, err2)
}

// writeTruth is step 1. It returns the memberships whose index has to follow.
func (s *Store) writeTruth(ctx context.Context, op, truth, token string, pairs []pair) ([]change, int, error) {
	var calls []call
	var places [][]int // of calls[i] in pairs
	for p, all := range byPartition(s, pairs, func(m pair) string { return m.client }) {
		for chunk := range slices.Chunk(all, scriptBatch) {
			args := []string{op, truth, token, s.keys.groupsPrefix(p)}
			for _, i := range chunk {
				args = append(args, pairs[i].client, pairs[i].group)
			}
			calls = append(calls, call{[]string{s.keys.unsynced(p), s.keys.left(p)}, args})
			places = append(places, chunk)
		}
	}
	replies, err := s.runChunks(ctx, truthScript, calls, op)
	var todo []change
	changed := 0
	for i, m := range replies {
		if m == nil {
			continue
		}
		flags, perr := m.AsIntSlice()
		if perr != nil || len(flags) != len(places[i]) {
			return todo, changed, errors.Join(err, perr, fmt.Errorf("%s: truth.lua returned %v", op, flags))
		}
		for j, f := range flags {
			changed += int(f & truthChanged)
			if f&truthWrite != 0 {
				todo = append(todo, change{pair: pairs[places[i][j]], member: f&truthMember != 0})
			}
		}
	}
	return todo, changed, err
}

// settle repeats steps 2 and 3 until truth and index agree. It returns the memberships as they ended up.
func (s *Store) settle(ctx context.Context, token string, todo []change) ([]change, error) {
	var done []change
	for range settleRounds {
		if len(todo) == 0 {
			break
		}
		written, err := s.writeIndex(ctx, todo)
		settled, again, err2 := s.compare(ctx, token, written)
		done = append(done, settled...)
		if err := errors.Join(err, err2); err != nil {
			return done, err
		}
		todo = again
	}
	return done, nil
}

// writeIndex is step 2. It returns the changes that were written, with their positions.
func (s *Store) writeIndex(ctx context.Context, todo []change) ([]change, error) {
	byGroup := make(map[string][]int)
	for i, c := range todo {
		byGroup[c.group] = append(byGroup[c.group], i)
	}
	var calls []call
	var places [][]int
	for group, all := range byGroup {
		p := s.keys.partition(group)
		channel := ""
		if s.cluster {
			channel = s.keys.groupChannel(p)
		}
		keys := []string{s.keys.members(group), s.keys.grouplist(p), s.keys.stream(protocol.GroupOf(group)), s.keys.epoch(p)}
		for chunk := range slices.Chunk(all, scriptBatch) {
			args := []string{group, channel}
			for _, i := range chunk {
				args = append(args, todo[i].client, bit(todo[i].member))
			}
			calls = append(calls, call{keys, args})
			places = append(places, chunk)
		}
	}
	replies, err := s.runChunks(ctx, indexScript, calls, "write group index")
	written := make([]change, 0, len(todo))
	for i, m := range replies {
		if m == nil {
			continue
		}
		pos, perr := position(m)
		if perr != nil {
			return written, errors.Join(err, fmt.Errorf("write group index: %w", perr))
		}
		for _, j := range places[i] {
			c := todo[j]
			c.pos = pos
			written = append(written, c)
		}
	}
	return written, err
}

// compare is step 3. Changes whose truth is the opposite by now come back in again, turned round.
func (s *Store) compare(ctx context.Context, token string, written []change) (settled, again []change, err error) {
	var calls []call
	var places [][]int
	for p, all := range byPartition(s, written, func(c change) string { return c.client }) {
		for chunk := range slices.Chunk(all, scriptBatch) {
			args := []string{s.keys.groupsPrefix(p), s.keys.clientChannel(p), token, s.keys.eventChannel(), strconv.Itoa(p),
				s.eventsSize}
			for _, i := range chunk {
				c := written[i]
				args = append(args, c.client, c.group, bit(c.member), c.pos.String())
			}
			calls = append(calls, call{[]string{s.keys.unsynced(p), s.keys.left(p), s.keys.events(p)}, args})
			places = append(places, chunk)
		}
	}
	replies, err := s.runChunks(ctx, settleScript, calls, "settle membership")
	for i, m := range replies {
		if m == nil {
			continue
		}
		equal, perr := m.AsIntSlice()
		if perr != nil || len(equal) != len(places[i]) {
			return settled, again, errors.Join(err, perr, fmt.Errorf("settle.lua returned %v", equal))
		}
		for j, place := range places[i] {
			c := written[place]
			if equal[j] == 1 {
				settled = append(settled, c)
			} else {
				c.member = !c.member
				again = append(again, c)
			}
		}
	}
	return settled, again, err
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
