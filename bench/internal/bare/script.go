package bare

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	"github.com/imtier/imtier/bench/internal/load"
)

// script is the least that a durable send can be in Redis: kept, with a time to live, and announced, in one step.
const script = `
local pos = redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'm', ARGV[1])
redis.call('PEXPIRE', KEYS[1], 86400000)
redis.call('PUBLISH', KEYS[2], ARGV[1])
return pos`

// batchScript is the same for many: the channel and the streams are the keys, the messages the arguments.
const batchScript = `
local pos = {}
for i, message in ipairs(ARGV) do
	pos[i] = redis.call('XADD', KEYS[i + 1], 'MAXLEN', '~', 1000, '*', 'm', message)
	redis.call('PEXPIRE', KEYS[i + 1], 86400000)
	redis.call('PUBLISH', KEYS[1], message)
end
return pos`

// Script has Redis run it, each message a call, so many in a pipeline, to the receivers in turn. redisURL is that of a
// Redis without a password.
func Script(ctx context.Context, redisURL string, receivers, each int, message []byte) (load.Redis, error) {
	u, err := url.Parse(redisURL)
	if err != nil {
		return load.Redis{}, fmt.Errorf("the address of redis: %w", err)
	}
	sum := sha1.Sum([]byte(script))
	name := hex.EncodeToString(sum[:])
	p := load.Redis{Addr: u.Host, Each: 1, Pipelines: [][]byte{load.RedisCommand(nil, "SCRIPT", "LOAD", script)}}
	s, err := p.Open(ctx)
	if err != nil {
		return p, err
	}
	defer s.Close()
	if err := s.Send(ctx, 0, time.Now()); err != nil {
		return p, fmt.Errorf("load a script: %w", err)
	}
	p.Each, p.Pipelines = each, nil
	for first := 0; first+each <= receivers; first += each {
		var b []byte
		for i := first; i < first+each; i++ {
			b = load.RedisCommand(b, "EVALSHA", name, "2", fmt.Sprintf("bare:s:%d", i), fmt.Sprintf("bare:c:%d", i%256), string(message))
		}
		p.Pipelines = append(p.Pipelines, b)
	}
	return p, nil
}
