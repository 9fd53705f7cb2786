package store

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/redis/rueidis"
)

// script is a Lua script that may simply be sent again when the server does not know it. The publishing script
// is not one of them: see fence.go.
type script struct {
	name            string // for errors
	roams           bool   // see newRoamingScript
	single, cluster scriptText
}

// scriptText is a script for one kind of Redis.
type scriptText struct{ text, sha string }

func newScript(name, text string) *script {
	return &script{name: name, single: textOf(text, false), cluster: textOf(text, true)}
}

// newRoamingScript is a script that completes names of keys by itself, from a prefix, or announces something. In a Cluster it runs
// only while its slot stands still. Redis looks before where its KEYS are, but where the others are only when they are touched, and
// half of a script may have taken effect by then. And what a server announces to which a slot is only moving nobody hears, since all
// follow it on the other one; the publishing scripts are so for that reason. So there it gets one key more, which never exists:
// while a slot moves, a script that has keys here and none there has to try again (TRYAGAIN).
func newRoamingScript(name, text string) *script {
	sc := newScript(name, text)
	sc.roams, sc.cluster = true, textOf(dropLastKey+text, true)
	return sc
}

// dropLastKey takes from a script that is to stand still the key that it has for that alone.
const dropLastKey = "table.remove(KEYS)\n"

// textOf puts in for ANNOUNCE the command that tells those who are subscribed to the channel of a partition: in a Cluster they are
// told by the server of that partition, and no other one has to know. Channels of no partition are told by PUBLISH.
func textOf(text string, cluster bool) scriptText {
	announce := "'PUBLISH'"
	if cluster {
		announce = "'SPUBLISH'"
	}
	text = strings.ReplaceAll(text, "ANNOUNCE", announce)
	sum := sha1.Sum([]byte(text))
	return scriptText{text, hex.EncodeToString(sum[:])}
}

// of is a script as this Redis takes it.
func (s *Store) of(sc *script) scriptText {
	if s.cluster {
		return sc.cluster
	}
	return sc.single
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
	text := s.of(sc)
	cmds := make([]rueidis.Completed, len(calls))
	for i, c := range calls {
		cmds[i] = s.evalsha(text.sha, s.still(sc, c))
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
		c := s.still(sc, calls[i])
		cmds = append(cmds, s.client.B().Eval().Script(text.text).Numkeys(int64(len(c.keys))).
			Key(c.keys...).Arg(c.args...).Build())
	}
	for j, r := range s.doMulti(ctx, cmds...) {
		results[missed[j]] = r
	}
	return results
}

// still adds, if need be, the key that keeps a script from running while its slot moves.
func (s *Store) still(sc *script, c call) call {
	if !sc.roams {
		return c
	}
	return s.whileStill(c)
}

// whileStill is still for a script that is known to need it.
func (s *Store) whileStill(c call) call {
	if !s.cluster {
		return c
	}
	return call{append(slices.Clip(c.keys), s.keys.never(c.keys[0])), c.args}
}

func (s *Store) evalsha(sha string, c call) rueidis.Completed {
	return s.client.B().Evalsha().Sha1(sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

// announce is ANNOUNCE as a command of its own.
func (s *Store) announce(channel, message string) rueidis.Completed {
	if s.cluster {
		return s.client.B().Spublish().Channel(channel).Message(message).Build()
	}
	return s.client.B().Publish().Channel(channel).Message(message).Build()
}
