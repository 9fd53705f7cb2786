package load

import (
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

func TestEveryReplyOfAPipelineIsRead(t *testing.T) {
	redis := redistest.Start(t)
	many := func(commands ...string) (b []byte) {
		for _, c := range commands {
			b = RedisCommand(b, strings.Fields(c)...)
		}
		return b
	}
	p := Redis{Addr: strings.TrimPrefix(redis.URL(), "redis://"), Each: 3, Pipelines: [][]byte{
		many("SET a text", "GET a", "STRLEN a"), many("GET none", "GET a", "GET none"), many("GET none", "GET a", "LPUSH a x"),
	}}
	s, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range int64(2) {
		if err := s.Send(t.Context(), i, time.Now()); err != nil {
			t.Fatalf("pipeline %d: %v", i, err)
		}
	}
	if err := s.Send(t.Context(), 2, time.Now()); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("an error is answered: %v", err)
	}
}
