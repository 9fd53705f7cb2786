package bare

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/imtier/imtier/bench/internal/procs"
)

// HandlerRole is the name of imbench's role as the bare HTTP server.
const HandlerRole = "bare-http"

// WorkHandler is the server, driven through in and out.
func WorkHandler(in io.Reader, out io.Writer) error {
	return workHTTP(in, out, sends(message, nil), func(_ json.RawMessage, addr string) (any, error) { return addr, nil })
}

// sends routes sends, and batches of them unless batch is nil, to where webapi takes them.
func sends(one, batch http.HandlerFunc) http.Handler {
	router := chi.NewRouter()
	router.Post("/v1/messages", one)
	if batch != nil {
		router.Post("/v1/batch", batch)
	}
	return router
}

// send is the body that webapi takes.
type send struct {
	To        string          `json:"to"`
	From      string          `json:"from"`
	Data      json.RawMessage `json:"data"`
	Ephemeral bool            `json:"ephemeral"`
}

// message parses a send and answers as webapi does.
func message(w http.ResponseWriter, r *http.Request) {
	in, err := readSend(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, appendSent(nil, in.To, "1700000000000-7"))
}

func readSend(r *http.Request) (in send, err error) {
	err = json.NewDecoder(r.Body).Decode(&in)
	return in, err
}

// appendSent writes what webapi tells of a send.
func appendSent(body []byte, to, pos string) []byte {
	return fmt.Appendf(body, `{"id":"0190b6f0-7a4e-7c3a-9d1e-3f5b8c2a1d00","results":[{"clientId":%q,"pos":%q,"online":true}]}`, to, pos)
}

func answer(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}

// Handler is the bare HTTP server in a process of its own.
type Handler struct{ W *procs.Worker }

// Addr is where it listens.
func (h Handler) Addr() (string, error) {
	var addr string
	err := h.W.Call(opListen, nil, &addr)
	return addr, err
}
