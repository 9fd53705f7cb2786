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

// How a receipt reaches a sender. What happened and that it has to be told is written in one step, in the receiver's
// partition (settle in prelude_receipts.lua): the event for backends, and a mark in untold. Then the receipt is
// published to the sender's inbox, which is another partition, and the mark removed. Whoever dies in between leaves
// the mark, and the janitor goes on from there. Publishing is idempotent by receiver, message, position and state, so
// that the sender gets it once.

//go:embed lua/expire.lua
var expireLua string

var expireScript = newRoamingScript("expire", preludeLua+receiptsLua+expireLua)

const (
	expireBatch = 200 // entries of expiry per run of expire.lua
	// untoldFor is how old a mark must be before the janitor takes it: longer than any call of the one who set it.
	untoldFor = 5 * time.Second
)

// untold is a receipt that is not known to be in its sender's inbox.
type untold struct {
	field    string // of the hash
	clientID string // the receiver
	pos      string // of the message, in the receiver's inbox
	state    string
	set      int64 // Unix ms, Redis's clock
	id       string
	from     string // whom to tell
}

// newUntold reads a field of untold and its value.
func newUntold(field, value string) (untold, bool) {
	f, v := strings.Split(field, "\n"), strings.SplitN(value, "\n", 3)
	if len(f) != 3 || len(v) != 3 {
		return untold{}, false
	}
	set, err := strconv.ParseInt(v[0], 10, 64)
	return untold{field: field, clientID: f[0], pos: f[1], state: f[2], set: set, id: v[1], from: v[2]}, err == nil
}

// publication is the receipt as a message. Its id has a line feed, which no caller's id has: it collides with none.
func (u *untold) publication() Publication {
	return Publication{
		Envelope: &protocol.Envelope{
			ID: u.id + "\n" + u.pos + "\n" + u.state, From: u.clientID, Time: u.set, IsReceipt: true,
			Data: protocol.ReceiptData(u.id, u.clientID, stateOf[u.state]),
		},
		Kind: protocol.Inbox, To: []string{u.from}, Idempotent: true,
	}
}

// tell puts receipts into the inboxes of their senders and removes their marks.
func (s *Store) tell(ctx context.Context, marks []untold) error {
	var errs error
	for part := range slices.Chunk(marks, pipelineLen) {
		pubs := make([]Publication, len(part))
		for i := range part {
			pubs[i] = part[i].publication()
		}
		var cmds []rueidis.Completed
		for i, r := range s.PublishMany(ctx, pubs) {
			if r.Err != nil {
				errs = r.Err
				continue
			}
			key := s.keys.untold(s.keys.partition(part[i].clientID))
			cmds = append(cmds, s.client.B().Hdel().Key(key).Field(part[i].field).Build())
		}
		for _, r := range s.doMulti(ctx, cmds...) {
			if err := r.Error(); err != nil {
				errs = err
			}
		}
	}
	return wrap("tell receipts", errs)
}

// retell tells what others marked and did not tell.
func (s *Store) retell(ctx context.Context) error {
	var marks []untold
	err := s.oldMarks(ctx, s.keys.untold, untoldFor, func(field, value string) {
		if u, ok := newUntold(field, value); ok {
			marks = append(marks, u)
		}
	})
	if err != nil {
		return wrap("look for untold receipts", err)
	}
	return s.tell(ctx, marks)
}

// expire tells in every partition what was not delivered in time.
func (s *Store) expire(ctx context.Context) error {
	todo, errs := s.expiring(ctx)
	for len(todo) > 0 && errs == nil {
		calls := make([]call, len(todo))
		for i, p := range todo {
			calls[i] = s.expireCall(p)
		}
		replies, err := s.runChunks(ctx, expireScript, calls, "expire messages")
		errs = err
		var more []int
		var told []untold
		for i, m := range replies {
			n, marks, err := parseUntold(m)
			errs = errors.Join(errs, err)
			told = append(told, marks...)
			if n == expireBatch {
				more = append(more, todo[i])
			}
		}
		errs = errors.Join(errs, s.tell(ctx, told))
		todo = more
	}
	return errs
}

func (s *Store) expireCall(p int) call {
	k := s.keys
	return call{
		keys: []string{k.expiry(p), k.events(p), k.untold(p)},
		args: []string{strconv.Itoa(expireBatch), k.awaitPrefix(p), k.duePrefix(p), millis(s.opts.HistoryTTL),
			millis(answerTTL), s.eventsSize, k.eventChannel(), strconv.Itoa(p), k.waiterPrefix()},
	}
}

// expiring returns the partitions in which something is due: asking is cheaper than a script.
func (s *Store) expiring(ctx context.Context) ([]int, error) {
	cmds := []rueidis.Completed{s.askTime()}
	for p := range s.Partitions() {
		cmds = append(cmds, s.client.B().Zrange().Key(s.keys.expiry(p)).Min("0").Max("0").Withscores().Build())
	}
	rs := s.doMulti(ctx, cmds...)
	now, err := redisTime(rs[0])
	if err != nil {
		return nil, wrap("look for expired messages", err)
	}
	var out []int
	for p, r := range rs[1:] {
		first, err := r.AsZScores()
		if err != nil {
			return nil, wrap("look for expired messages", err)
		}
		if len(first) > 0 && first[0].Score <= float64(now.UnixMilli()) {
			out = append(out, p)
		}
	}
	return out, nil
}
