package freeim

import (
	"context"
	"net/http"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
)

// Options of New.
type Options struct {
	// Origins from which pages may call, in lower case; "*" allows all. Pages of this server's own host always may.
	Origins []string
}

type api struct {
	im      *imhelper.Helper
	maxForm int64 // bytes of a request's body
}

// New returns the handler of all routes.
func New(im *imhelper.Helper, o Options) http.Handler {
	a := &api{im: im, maxForm: formLimit(im.MaxMessage())}
	mux := http.NewServeMux()
	mux.Handle("POST /ws/pre-connect", a.route(a.preConnect))
	mux.Handle("GET /ws/offline", a.route(a.offline))
	mux.Handle("POST /ws/offline", a.route(a.offline))
	mux.Handle("POST /ws/get-channels", a.route(a.channels))
	mux.Handle("POST /ws/subscr-channel", a.route(a.subscribe))
	mux.Handle("POST /ws/send-channelmsg", a.route(a.sendChannel))
	mux.Handle("POST /ws/send-broadcast", a.route(a.sendBroadcast))
	mux.Handle("POST /ws/send-msg", a.route(a.sendDirect))
	return sharedWith(o.Origins, mux)
}

// route reads the form, calls do and writes its answer. A nil answer is plain success.
func (a *api) route(do func(context.Context, form) (map[string]any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := readForm(w, r, a.maxForm)
		if err != nil {
			fail(w, err)
			return
		}
		answer, err := do(r.Context(), f)
		if err != nil {
			fail(w, err)
			return
		}
		succeed(w, answer)
	})
}

// preConnect gives the URL of a new connection, for the given client or a new one.
func (a *api) preConnect(ctx context.Context, f form) (map[string]any, error) {
	id, given, err := f.clientIfGiven("websocketId")
	if err != nil {
		return nil, err
	}
	if !given {
		id = protocol.NewID()
	}
	c, err := a.im.PreConnect(ctx, imhelper.ConnectRequest{ClientID: id})
	if err != nil {
		return nil, err
	}
	return map[string]any{"server": c.URL, "websocketId": id}, nil
}

func (a *api) offline(ctx context.Context, f form) (map[string]any, error) {
	id, err := f.client("websocketId")
	if err != nil {
		return nil, err
	}
	_, err = a.im.ForceOffline(ctx, id, "")
	return nil, err
}
