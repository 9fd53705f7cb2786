package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/reply.lua
var replyLua string

var replyScript = newRoamingScript("reply", replyLua)

const (
	requestScan      = time.Second
	answererAlive    = 3 * time.Second // then its requests are another's: there is time left to answer them
	requestsAtOnce   = 64              // handlers of one consumer, unless told otherwise
	requestWorkers   = 4               // that read; what they read is handled beside
	answerRetry      = 100 * time.Millisecond
	answerRetryUntil = 5 * time.Second // of Redis being away; then the request is left to whoever comes
)

func (s *Store) requestFeed() *feed {
	return &feed{
		name: "requests", field: requestField, channel: s.keys.requestChannel(),
		stream: s.keys.requests, lock: s.keys.requestLock, consumers: s.keys.answerers,
		scan: requestScan, alive: answererAlive, steal: true,
	}
}

// ConsumeRequests gives requests of clients to h until ctx ends and all handlers have returned, and returns ctx's error.
// Each goes to one consumer of a group; when that dies, another gets it within some 5 seconds. h returns the frame that
// answers, or nil to leave the request to another consumer. Its context ends when the client no longer waits.
// Options.Workers handlers run at once.
func (s *Store) ConsumeRequests(ctx context.Context, group, consumerName string, h func(context.Context, Request) []byte, o ConsumeOptions) error {
	if o.Workers <= 0 {
		o.Workers = requestsAtOnce
	}
	c := newConsumer(s, s.requestFeed(), group, consumerName, requestWorkers)
	a := &answerer{c: c, handle: h, room: make(chan struct{}, o.Workers), busy: make(map[string]bool)}
	c.deliver = a.deliver
	c.beside = &a.handlers
	return c.run(ctx)
}

// answerer handles requests side by side, for one may take long.
type answerer struct {
	c        *consumer
	handle   func(context.Context, Request) []byte
	room     chan struct{} // one element per handler
	handlers sync.WaitGroup

	mu   sync.Mutex
	busy map[string]bool // entries that are being handled, by partition and id
}

// deliver starts to handle a request; it waits while there are too many handlers.
func (a *answerer) deliver(ctx context.Context, p int, e entry) error {
	var r Request
	id, err := parseEntryID(e.id)
	if err != nil || json.Unmarshal([]byte(e.text), &r) != nil { // answered by another group, or forgotten
		return a.c.s.answer(ctx, p, a.c.group, e.id, &r, nil)
	}
	key := strconv.Itoa(p) + "-" + e.id
	if !a.begin(key) {
		return nil // read again, after another consumer had the partition for a while
	}
	select {
	case a.room <- struct{}{}:
	case <-ctx.Done():
		a.end(key)
		return ctx.Err()
	}
	r.Time = time.UnixMilli(id.ms)
	left := protocol.RequestTimeout - time.Duration(e.at-id.ms)*time.Millisecond - time.Since(e.read)
	a.handlers.Go(func() {
		defer func() { <-a.room; a.end(key) }()
		if left <= 0 {
			_ = a.c.s.answer(ctx, p, a.c.group, e.id, &r, protocol.RefusalFrame(r.ID, protocol.Refuse(protocol.RefusedTimeout)))
			return // if that failed, requests of such an age are removed some time
		}
		within, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		if frame := a.handle(within, r); frame != nil {
			a.answer(ctx, p, e.id, &r, frame)
		}
	})
	return nil
}

// begin notes that an entry is being handled; false when it is already.
func (a *answerer) begin(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[key] {
		return false
	}
	a.busy[key] = true
	return true
}

func (a *answerer) end(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, key)
}

// answer gives the client its answer, also when Redis is away for a moment: the work is done.
func (a *answerer) answer(ctx context.Context, p int, entryID string, r *Request, frame []byte) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerRetryUntil)
	defer cancel()
	for a.c.s.answer(end, p, a.c.group, entryID, r, frame) != nil && pause(end, answerRetry) {
	}
}

// answer removes a request and publishes its answer, unless there was one; without a frame there is none.
func (s *Store) answer(ctx context.Context, p int, group, entryID string, r *Request, frame []byte) error {
	push := protocol.Push{Kind: protocol.PushReply, ClientID: r.ClientID, Origin: r.Origin, ID: r.ID, Frame: frame}
	keys := []string{s.keys.requests(p), s.keys.replies(p, r.Origin)}
	args := []string{group, entryID, r.ID, string(frame), millis(replyTTL), s.keys.clientChannel(p), string(push.Encode()),
		strconv.Itoa(maxReplies)}
	return wrap("answer a request of "+r.ClientID, s.run(context.WithoutCancel(ctx), replyScript, keys, args).Error())
}
