package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver"
	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/webapi"
)

// Run serves until ctx ends; it prints the addresses to out once everything answers.
func Run(ctx context.Context, cfg Config, log *zap.Logger, out io.Writer) (err error) {
	defer func() {
		if errors.Is(err, syscall.EADDRINUSE) { // the programs name their own settings
			err = fmt.Errorf("%w; choose other addresses with IM_WEB_LISTEN and IM_NODE_LISTEN", err)
		}
	}()
	redisURL, stopRedis, err := startRedis()
	if err != nil {
		return err
	}
	defer stopRedis()
	common, err := cfg.common(redisURL)
	if err != nil {
		return err
	}
	web, err := webapi.New(cfg.web(common), log.Named("webapi"))
	if err != nil {
		return fmt.Errorf("webapi: %w", err)
	}
	nodeCfg, err := cfg.node(common, web.Addr())
	if err != nil {
		web.Close()
		return err
	}
	node, err := imserver.New(nodeCfg, log.Named("imserver"))
	if err != nil {
		web.Close()
		return fmt.Errorf("imserver: %w", err)
	}
	return serve(ctx, web, node, common, out)
}

// serve runs both programs; when one fails the other stops too.
func serve(ctx context.Context, web *webapi.Server, node *imserver.Server, common settings.Common, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg           sync.WaitGroup
		webErr, nErr error
	)
	wg.Go(func() { defer cancel(); webErr = web.Run(ctx) })
	wg.Go(func() { defer cancel(); nErr = node.Run(ctx) })
	if url := node.PublicURL(ctx); url != "" && ready(ctx, web) {
		here := local(web.Addr())
		_, _ = fmt.Fprintf(out, banner, here, here, url, APIKey, local(web.AdminAddr()), local(node.AdminAddr()), here, APIKey,
			common.RedisURL, common.Partitions, common.SigningKeys)
	}
	wg.Wait()
	return errors.Join(webErr, nErr)
}

// local is where this machine's programs find a listener: the host of a page's address is the one that its sockets' is compared with.
func local(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// ready waits until webapi answers; false when ctx ended first.
func ready(ctx context.Context, web *webapi.Server) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for web.Ready() != nil {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

const banner = `
imtier is running, with an embedded Redis: nothing is kept when it stops.

  chat page    http://%s/         open it twice and talk
  API          http://%s/docs
  sockets      %s
  API key      %s
  operators    http://%s/state   http://%s/state

  try          curl http://%s/v1/connect -H 'Authorization: Bearer %s' --json '{"clientId":"alice"}'

A backend on this machine finds it with these (imhelper.OptionsFromEnv):

  export IM_REDIS_URL=%s IM_PARTITIONS=%d
  export IM_SIGNING_KEYS=%s

Ctrl-C stops it.
`
