package store

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"github.com/redis/rueidis"
)

// script is a Lua script that may simply be sent again when the server does not know it. The publishing script
// is not one of them: see fence.go.
type script struct {
	name string // for errors
	text string
	sha  string
}

func newScript(name, text string) *script {
	sum := sha1.Sum([]byte(text))
	return &script{name: name, text: text, sha: hex.EncodeToString(sum[:])}
}

// call is one run of a script: all keys lie in one partition.
type call struct {
	keys []string
	args []string
}

// run executes a script by its name and, if the server has not seen it, by its text.
func (s *Store) run(ctx context.Context, sc *script, keys, args []string) rueidis.RedisResult {
	return s.runMany(ctx, sc, []call{{keys, args}})[0]
}

// runMany executes one script many times in one pipeline. Each result stands for itself; results of the same
// partition took effect in the order of calls.
func (s *Store) runMany(ctx context.Context, sc *script, calls []call) []rueidis.RedisResult {
	cmds := make([]rueidis.Completed, len(calls))
	for i, c := range calls {
		cmds[i] = s.evalsha(sc.sha, c)
	}
	results := s.doMulti(ctx, cmds...)

	var missed []int
	for i, r := range results {
		if isNoScript(r.Error()) {
			missed = append(missed, i)
		}
	}
	if len(missed) == 0 {
		return results
	}
	cmds = cmds[:0]
	for _, i := range missed {
		c := calls[i]
		cmds = append(cmds, s.client.B().Eval().Script(sc.text).Numkeys(int64(len(c.keys))).
			Key(c.keys...).Arg(c.args...).Build())
	}
	for j, r := range s.doMulti(ctx, cmds...) {
		results[missed[j]] = r
	}
	return results
}

func (s *Store) evalsha(sha string, c call) rueidis.Completed {
	return s.client.B().Evalsha().Sha1(sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}
