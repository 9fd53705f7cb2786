package store

import (
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/append.lua
var appendLua string

const (
	// maxAppends is how many streams one call of append.lua appends to: what a call costs is spread over enough, and
	// Redis is held up for less than a millisecond.
	maxAppends = 64
	// maxAppendBytes bounds a call by what it carries, for the same reason.
	maxAppendBytes = 1 << 20
)

// appending is one call of append.lua: jobs of partitions that are in the same life. All jobs of a round that share
// a partition are in the same call, so that they keep their order even if one call is refused and the next is not.
type appending struct {
	life  *life
	parts []int // distinct partitions, in the order of their epochs in the call
	jobs  []*job
	n     int       // streams
	size  int       // bytes of envelopes
	given []given   // the hint that each stream has in the call
	made  time.Time // when the hints were given
}

// appendings distributes jobs over calls. In a Cluster a call concerns one partition: it cannot touch two slots.
func (s *Store) appendings(jobs []*job, parts *partitions) []*appending {
	var calls []*appending
	var last *appending
	for _, j := range jobs {
		at := parts.of(j.p, &s.lives)
		if at.call == nil {
			if last == nil || s.cluster || last.life.fence != at.life.fence || last.n >= maxAppends || last.size >= maxAppendBytes {
				last = &appending{life: at.life, jobs: make([]*job, 0, min(len(jobs), maxAppends))}
				calls = append(calls, last)
			}
			at.call = last
			last.parts = append(last.parts, j.p)
		}
		c := at.call
		c.jobs = append(c.jobs, j)
		c.n += len(j.at)
		c.size += len(j.envelope)
	}
	return calls
}

// command makes the call.
func (s *Store) appendCommand(c *appending) rueidis.Completed {
	keys := make([]string, 0, len(c.parts)+len(c.jobs)+c.n)
	args := make([]string, 0, 3+4*len(c.jobs)+2*c.n)
	args = append(args, strconv.Itoa(len(c.parts)), s.historySize, s.historyTTL)
	for _, p := range c.parts {
		keys = append(keys, s.keys.epoch(p))
	}
	c.given, c.made = make([]given, 0, c.n), time.Now()
	for _, j := range c.jobs {
		kind := j.pub.Kind
		if kind == protocol.Inbox {
			keys = append(keys, s.keys.online(j.p))
		}
		args = append(args, kindText[kind], s.channelFor(kind, j.p), rueidis.BinaryString(j.envelope), strconv.Itoa(len(j.at)))
		for k, i := range j.at {
			keys = append(keys, j.streams[k])
			hint := s.hints.of(j.streams[k], c.life.fence, c.made)
			c.given = append(c.given, hint)
			args = append(args, j.result.Receipts[i].Addr, hint.text)
		}
	}
	return s.evalsha(c.life.append, s.whileStill(call{keys, args}))
}

// kindText is a kind as scripts take it.
var kindText = map[protocol.Kind]string{protocol.Inbox: "i", protocol.Group: "g", protocol.All: "a"}

// takeAppended reads the reply to a call into the results of its jobs.
func (s *Store) takeAppended(c *appending, reply rueidis.RedisResult) taken {
	msg, err := reply.ToMessage()
	if err != nil {
		if isNoScript(err) {
			return refusedLost
		}
		c.fail(err)
		return settled
	}
	if fences, err := msg.AsStrSlice(); err == nil {
		for i, p := range c.parts[:min(len(fences), len(c.parts))] {
			s.lives.learn(p, parseFence(fences[i]))
		}
		return refusedFence
	}
	text, err := msg.ToString()
	if err != nil || strings.Count(text, "\n") != c.n-1 {
		c.fail(errBadAppendReply)
		return settled
	}
	for n, at := 0, 0; n < len(c.jobs); n++ {
		j := c.jobs[n]
		for k, i := range j.at {
			var line string
			line, text, _ = strings.Cut(text, "\n")
			if pos, ok := takeLine(j, i, line); ok {
				s.hints.learn(j.streams[k], c.life.fence, pos, c.given[at], c.made)
			}
			at++
		}
	}
	return settled
}

const errBadAppendReply = scriptError("unexpected reply of the append script")

// takeLine reads what became of one stream of a job.
func takeLine(j *job, i int, line string) (pos protocol.Position, ok bool) {
	switch {
	case strings.HasPrefix(line, "!"):
		j.fail(scriptError(line[1:]))
		return pos, false
	case line == "":
		j.fail(errBadAppendReply)
		return pos, false
	}
	pos, err := protocol.ParsePosition(line[1:])
	if err != nil {
		j.fail(err)
		return pos, false
	}
	r := &j.result.Receipts[i]
	r.Pos, r.Online = pos, line[0] == '1'
	return pos, true
}

func (c *appending) fail(err error) {
	for _, j := range c.jobs {
		j.fail(err)
	}
}
