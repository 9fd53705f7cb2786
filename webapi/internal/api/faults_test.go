package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/imtier/imtier/pkg/imhelper"
)

func TestRedisStoppedIs503(t *testing.T) {
	for name, away := range map[string]func(*fixture){
		"killed":  func(f *fixture) { f.redis.Kill() },
		"silent":  func(f *fixture) { f.redis.Pause(); f.t.Cleanup(f.redis.Resume) },
		"replica": func(f *fixture) { f.redis.Do("REPLICAOF", "127.0.0.1", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.node("n")
			f.call("POST", "/v1/messages", `{"to":"a","data":1}`).into(200, new(sendOut))
			away(f)
			for _, route := range []string{
				`POST /v1/messages {"to":["a","b","c"],"data":1}`, `POST /v1/broadcast {"data":1}`, `PUT /v1/groups/g/members/a {}`,
			} {
				part := strings.SplitN(route, " ", 3)
				quickest := time.Hour // of some: any one may find a busy machine
				for tries := 0; tries < 5 && quickest > 3*time.Second; tries++ {
					began := time.Now()
					got := f.call(part[0], part[1], part[2])
					quickest = min(quickest, time.Since(began))
					got.problem(http.StatusServiceUnavailable, codeUnavailable, "")
					if got.header.Get("Retry-After") == "" {
						t.Errorf("%s: no Retry-After", route)
					}
				}
				if quickest > 3*time.Second {
					t.Errorf("%s took %v", route, quickest)
				}
			}
		})
	}
}

// TestSendGoesOnWithoutItsCaller sends with a context that is over: the message is stored all the same.
func TestSendGoesOnWithoutItsCaller(t *testing.T) {
	f := start(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(gone, "POST", "/v1/messages", strings.NewReader(`{"to":"a","data":1}`))
	req.Header.Set("X-API-Key", apiKey)
	w := httptest.NewRecorder()
	f.http.Config.Handler.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPanicIsA500WithoutTheQuery(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	a := New(Options{Helper: new(imhelper.Helper), Log: zap.New(core), Metrics: prometheus.NewRegistry()})
	handler, err := a.Handler(func(r chi.Router) {
		r.Get("/boom", func(http.ResponseWriter, *http.Request) { panic(errors.New("boom")) })
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/boom?token=secret", http.NoBody))
	answer{t, w.Code, w.Header(), w.Body.String()}.problem(500, codeInternal, "")
	if strings.Contains(w.Body.String(), "boom") {
		t.Errorf("the panic is shown: %s", w.Body)
	}
	if logs.Len() != 1 || strings.Contains(fmt.Sprint(logs.All()[0].ContextMap()), "secret") {
		t.Errorf("log: %v", logs.All())
	}
}
