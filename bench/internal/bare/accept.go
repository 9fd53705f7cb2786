package bare

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/bench/internal/procs"
)

// AcceptRole is the name of imbench's role as the server that only accepts.
const AcceptRole = "bare-accept"

// WorkAccept is the server, driven through in and out.
func WorkAccept(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(accept)}
	go func() { _ = srv.Serve(l) }()   // until Close
	defer func() { _ = srv.Close() }() // the process ends
	return procs.Work(in, out, procs.Ops{
		opListen: func(json.RawMessage) (any, error) { return "ws://" + l.Addr().String() + "/ws", nil },
	})
}

// accept upgrades and then waits for the client to leave, as every server has to.
func accept(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // the client has been told
	}
	defer c.CloseNow()
	for {
		if _, _, err := c.Read(context.Background()); err != nil {
			return
		}
	}
}

// Accept is the server in a process of its own.
type Accept struct{ W *procs.Worker }

// URL is where clients connect.
func (a Accept) URL() (string, error) {
	var url string
	err := a.W.Call(opListen, nil, &url)
	return url, err
}
