// Command presence is a backend that knows who is online: it keeps a picture of its own, as a product's database would,
// and brings it up to date from events. It may be stopped and started again at any time; what happened meanwhile
// it learns then.
//
//	export IM_REDIS_URL=redis://127.0.0.1:6379                # and IM_PARTITIONS, if it is not 256: as imserver and webapi have
//	go run ./examples/presence -file presence.log -listen 127.0.0.1:9090
//	curl http://127.0.0.1:9090/online
//
// After make run, export what it prints, and remove the file of an earlier one: it is about another installation.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/imtier/imtier/pkg/imhelper"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	file := flag.String("file", "presence.log", "where the picture is kept")
	listen := flag.String("listen", "127.0.0.1:9090", "answers GET /online")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	options, err := imhelper.OptionsFromEnv()
	if err != nil {
		return err
	}
	im, err := imhelper.New(ctx, options)
	if err != nil {
		return fmt.Errorf("%w (set IM_REDIS_URL and IM_PARTITIONS to what imserver and webapi have; make run prints them)", err)
	}
	defer im.Close()
	p, err := openPicture(*file)
	if err != nil {
		return err
	}
	defer p.close()

	srv := &http.Server{Addr: *listen, Handler: p, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- srv.ListenAndServe() }()
	defer func() { _ = srv.Close() }()
	go func() { failed <- follow(ctx, im, p) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow keeps the picture true. Events come at least once, those of one client in their order, from where this consumer
// group stopped; a lost event says that some are gone for good, and then there is the list of who is online.
func follow(ctx context.Context, im *imhelper.Helper, p *picture) error {
	rebuild := make(chan struct{}, 1)
	again := func() {
		select {
		case rebuild <- struct{}{}:
		default:
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-rebuild:
			}
			if err := p.rebuild(ctx, im.OnlineClients); err != nil && ctx.Err() == nil {
				log.Printf("look who is online, will retry: %v", err)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
					again()
				}
			}
		}
	})
	return im.Events(ctx, "presence-example", func(_ context.Context, e imhelper.Event) error {
		switch e.Type {
		case imhelper.EventOnline, imhelper.EventOffline:
			return p.set(e.ClientID, e.Type == imhelper.EventOnline, e.Seq) // an error brings the event again
		case imhelper.EventLost:
			log.Printf("events were lost between %v and %v", time.UnixMilli(e.Since), time.UnixMilli(e.Time))
			again()
		}
		return nil
	}, imhelper.Ready(func() {
		if p.isNew() { // nothing is known of those who were online before this group began
			again()
		}
	}))
}

// ServeHTTP answers who is online.
func (p *picture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/online" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(p.online()); err != nil {
		log.Print(fmt.Errorf("answer: %w", err))
	}
}
