package imhelper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// Options say where the installation is. RedisURL (or Store) is required; Partitions, HistorySize, HistoryTTL,
// EventsSize and MaxMessage have to be what the imservers and webapis of the installation were started with; OptionsFromEnv
// reads them where those do.
type Options struct {
	// RedisURL as in IM_REDIS_URL: redis://[user:password@]host:port[/db], rediss:// with TLS. Required unless Store is given.
	RedisURL string
	// SigningKeys as in IM_SIGNING_KEYS. Required for PreConnect, for nothing else.
	SigningKeys string

	Partitions  int           // default 256
	HistorySize int           // messages kept per stream; default 1000
	HistoryTTL  time.Duration // default 24h
	EventsSize  int           // events kept per partition; default 10,000
	MaxMessage  int           // bytes of one message's data; default 64 KiB

	// OnSend, when not nil, is called with every message before it is published, once per message however many
	// receivers it has, from the goroutine that sends. When it returns an error the message is not published and
	// the send fails with ErrVetoed wrapping that error. So it can keep a record, and it can refuse. A message that
	// it has let pass may still fail to be published.
	OnSend func(context.Context, Sending) error

	// Store, when not nil, is used instead of a connection of the Helper's own, and Close leaves it open.
	Store *store.Store
}

// Helper is one backend's access to an installation. It is safe for concurrent use; one per process is enough.
type Helper struct {
	store      *store.Store
	owned      bool // store was opened by New
	keys       ticket.Keys
	maxMessage int
	onSend     func(context.Context, Sending) error
	nodes      nodeCache
	waits      *waits
	hints      *hints
}

// New connects to Redis. It fails with ErrUnavailable when Redis cannot be reached (trying again may help), and for
// good with ErrRedisTooOld, ErrPartitionMismatch, or an error about the options.
func New(ctx context.Context, o Options) (*Helper, error) {
	h := &Helper{maxMessage: o.MaxMessage, onSend: o.OnSend, store: o.Store}
	if h.maxMessage <= 0 {
		h.maxMessage = protocol.DefaultMaxMessage
	}
	if o.SigningKeys != "" {
		keys, err := ticket.ParseKeys(o.SigningKeys)
		if err != nil {
			return nil, fmt.Errorf("imhelper: %w", err)
		}
		h.keys = keys
	}
	if h.store == nil {
		if o.RedisURL == "" {
			return nil, errors.New("imhelper: RedisURL is required, such as redis://127.0.0.1:6379")
		}
		s, err := store.Open(ctx, store.Options{
			URL:         o.RedisURL,
			Partitions:  o.Partitions,
			HistorySize: o.HistorySize,
			HistoryTTL:  o.HistoryTTL,
			EventsSize:  o.EventsSize,
			Name:        "imhelper",
		})
		if err != nil {
			return nil, fmt.Errorf("imhelper: %w", err)
		}
		h.store, h.owned = s, true
	}
	h.nodes.fetch = h.store.LiveNodes
	h.waits, h.hints = newWaits(h.store), newHints(h.store)
	return h, nil
}

// Close ends the connection to Redis if it is the Helper's own; calls under way fail then. Sends that wait for receipts
// return with what is known, or fail; TailEvents fails.
func (h *Helper) Close() {
	h.hints.close()
	h.waits.close()
	if h.owned {
		h.store.Close()
	}
}

// Ping asks Redis for a sign of life.
func (h *Helper) Ping(ctx context.Context) error { return h.store.Ping(ctx) }

// MaxMessage is the largest data of one message, in bytes.
func (h *Helper) MaxMessage() int { return h.maxMessage }
