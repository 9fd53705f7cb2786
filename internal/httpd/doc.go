// Package httpd runs an HTTP server in three steps: Listen opens the port, so
// that the address is known and connections queue; Serve answers them until
// its context ends, then lets the requests under way finish; Close gives up at
// once.
//
//	srv, err := httpd.Listen(cfg.Listen, handler, httpd.Options{})
//	log.Info("listening", zap.String("addr", srv.Addr()))
//	err = srv.Serve(ctx)
//
// Connections that a handler hijacked (WebSockets) are not its business: who
// took them ends them.
//
// With Options.FastPath small POSTs are answered by package fastpath, everything
// else by net/http as always.
package httpd
