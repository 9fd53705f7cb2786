package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/procs"
	"github.com/imtier/imtier/bench/internal/report"
)

// node is an imserver and what it took when it was ready.
type node struct {
	srv   *procs.Server
	empty int64 // resident bytes
}

// tellTimeout bounds the questions for what every benchmark tells in the end.
const tellTimeout = 5 * time.Second

// tell adds what every benchmark tells in the end, while its processes still run: sockets, errors, memory. What cannot be
// found out is left out: it is no part of the measurement, which has ended, perhaps because somebody has stopped it.
func (s *stage) tell(res *report.Result) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	if live, known := s.live(); known {
		res.Add("active sockets in the end", float64(live.Active), "", fmt.Sprintf("%d errors of clients", live.Errors))
	}
	var conns, bytes int64
	for _, n := range s.nodes {
		st, err := n.srv.State(ctx)
		if err != nil {
			return
		}
		rss, err := measure.RSS(n.srv.PID())
		if err != nil {
			return
		}
		conns += int64(st.Connections)
		bytes += rss - n.empty
	}
	if conns > 0 {
		res.Add("imserver's resident memory per connection in the end", float64(bytes)/float64(conns), "bytes", "after the work, with its garbage; see idle")
	}
}
