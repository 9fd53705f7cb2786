package webapi

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"sync"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/webapi/internal/demo"
	"github.com/imtier/imtier/webapi/internal/freeim"
	"github.com/imtier/imtier/webapi/web"
)

// mounts is what is served beside the API: pages and compatible routes, by setting.
func (s *Server) mounts(ctx context.Context, wg *sync.WaitGroup, h *imhelper.Helper) ([]func(chi.Router), error) {
	var all []func(chi.Router)
	if s.cfg.FreeIM {
		routes := freeim.New(h, freeim.Options{Origins: s.cfg.AllowedOrigins})
		all = append(all, func(r chi.Router) { r.Handle("/ws/*", routes) })
	}
	if !s.cfg.Demo {
		landing := web.Landing()
		return append(all, func(r chi.Router) {
			r.Handle("/", landing)
			r.Handle("/landing/*", landing)
		}), nil
	}
	d, err := demo.New(h, demo.Options{
		Secret:  []byte(s.cfg.SigningKeys),
		OnError: func(err error) { s.log.Warn("demo", zap.Error(err)) },
	})
	if err != nil {
		return nil, err
	}
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			s.log.Error("demo", zap.Error(fmt.Errorf("notices: %w", err)))
		}
	})
	page, backend := web.Demo(), d.Handler()
	return append(all, func(r chi.Router) {
		r.Handle("/", page)
		r.HandleFunc("/demo/*", func(w http.ResponseWriter, req *http.Request) {
			if path.Ext(req.URL.Path) != "" { // the page's files have one, the backend's routes have none
				page.ServeHTTP(w, req)
				return
			}
			backend.ServeHTTP(w, req)
		})
	}), nil
}
