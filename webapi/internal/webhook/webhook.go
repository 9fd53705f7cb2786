package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

const (
	consumerGroup = "imtier-webhook" // all webapis share the events, and the requests
	// atOnce is how many attempts of one webapi are under way at most: each for another client.
	atOnce = 32
	// startAgain is the pause before reading goes on after an error.
	startAgain = time.Second
)

// Webhook posts events. Make one with New, then Run it.
type Webhook struct {
	o       Options
	client  *http.Client
	signers []*standardwebhooks.Webhook
	metrics *metrics
	gone    atomic.Bool // the receiver has answered 410

	mu    sync.Mutex
	tries map[string]int // failed attempts, by the event's webhook-id
}

// New makes a Webhook. It starts nothing.
func New(o Options) (*Webhook, error) {
	w := &Webhook{o: o, metrics: newMetrics(o.Metrics), tries: make(map[string]int)}
	for _, secret := range o.Secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, fmt.Errorf("webhook secret: %w", err)
		}
		w.signers = append(w.signers, signer)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = atOnce, 2*atOnce
	w.client = &http.Client{
		Transport: transport,
		Timeout:   o.Timeout,
		// The receiver is who the operator named, and nobody it points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

// Run posts until ctx ends or the receiver says that it is gone, and returns when nothing is under way.
func (w *Webhook) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.client.CloseIdleConnections()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		w.repeat(ctx, "webhook: read events", func() error {
			return w.o.Helper.Events(ctx, consumerGroup, func(ctx context.Context, e imhelper.Event) error {
				err := w.onEvent(ctx, e)
				if w.gone.Load() {
					cancel()
				}
				return err
			}, imhelper.Concurrency(atOnce))
		})
	})
	if w.o.Requests {
		wg.Go(func() {
			w.repeat(ctx, "webhook: read requests", func() error {
				return w.o.Helper.Handle(ctx, consumerGroup, w.onRequest)
			})
		})
	}
	wg.Wait()
}

// repeat calls f until ctx ends.
func (w *Webhook) repeat(ctx context.Context, what string, f func() error) {
	for {
		err := f()
		if ctx.Err() != nil {
			return
		}
		w.o.Log.Warn(what, zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(startAgain):
		}
	}
}

func (w *Webhook) wants(typ string) bool {
	return typ == imhelper.EventLost || len(w.o.Types) == 0 || slices.Contains(w.o.Types, typ)
}
