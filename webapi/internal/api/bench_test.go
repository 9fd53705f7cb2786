package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/store/redistest"
)

const benchBody = `{"to":"alice","from":"bob","data":{"text":"a message of about a hundred and fifty bytes, as people write them to each other all day long"}}`

// BenchmarkSend compares a durable send with a bare chi handler that parses the same JSON, both over loopback.
func BenchmarkSend(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		r := chi.NewRouter()
		r.Post("/v1/messages", func(w http.ResponseWriter, r *http.Request) {
			var in struct {
				To, From string
				Data     json.RawMessage
			}
			if json.NewDecoder(r.Body).Decode(&in) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"0190b6f0-7a4e-7c3a-9d1e-3f5b8c2a1d00","results":[]}`)
		})
		post(b, r)
	})
	b.Run("webapi", func(b *testing.B) {
		redis := redistest.Start(b)
		st, err := store.Open(b.Context(), store.Options{URL: redis.URL()})
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		h, err := imhelper.New(b.Context(), imhelper.Options{Store: st})
		if err != nil {
			b.Fatal(err)
		}
		handler, err := New(Options{
			Helper: h, Keys: NewKeys([]string{apiKey}), Log: zap.NewNop(), Metrics: prometheus.NewRegistry(),
		}).Handler()
		if err != nil {
			b.Fatal(err)
		}
		post(b, handler)
	})
}

func post(b *testing.B, handler http.Handler) {
	srv := httptest.NewServer(handler)
	defer srv.Close()
	const perCPU = 32
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}
	defer client.CloseIdleConnections()
	b.SetParallelism(perCPU)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequest(http.MethodPost, srv.URL+"/v1/messages", strings.NewReader(benchBody))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+apiKey)
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
}
