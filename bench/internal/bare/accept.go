package bare

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/coder/websocket"

	"github.com/imtier/imtier/bench/internal/procs"
)

// AcceptRole is the name of imbench's role as the server that only accepts.
const AcceptRole = "bare-accept"

// WorkAccept is the server, driven through in and out.
func WorkAccept(in io.Reader, out io.Writer) error {
	return workHTTP(in, out, http.HandlerFunc(accept), func(_ json.RawMessage, addr string) (any, error) {
		return socketURL(addr), nil
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
