package api

import (
	"errors"
	"net/http"

	"go.uber.org/zap"
)

// recoverer turns a panic into a 500. What is logged is the path at most: a query may hold a secret.
func (a *API) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // net/http's own way to cut a connection
			}
			a.metrics.panics.Inc()
			a.log.Error("panic", zap.Any("panic", v), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Stack("stack"))
			problem(http.StatusInternalServerError, codeInternal, "something went wrong on this side").write(w)
		}()
		next.ServeHTTP(w, r)
	})
}
