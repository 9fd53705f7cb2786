package bare

import (
	"encoding/json"
	"io"
	"net"
	"net/http"

	"github.com/imtier/imtier/bench/internal/procs"
)

// workHTTP serves a handler on a free port, driven through in and out, as soon as it is told to listen: listen is given the
// arguments and the address, and returns the answer.
func workHTTP(in io.Reader, out io.Writer, handler http.Handler, listen func(args json.RawMessage, addr string) (any, error)) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	srv := &http.Server{Handler: handler}
	defer func() { _ = srv.Close() }() // the process ends
	return procs.Work(in, out, procs.Ops{
		opListen: func(args json.RawMessage) (any, error) {
			answer, err := listen(args, l.Addr().String())
			if err == nil {
				go func() { _ = srv.Serve(l) }() // until Close
			}
			return answer, err
		},
	})
}

// socketURL is where clients connect to an address.
func socketURL(addr string) string { return "ws://" + addr + "/ws" }
