package store

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// Publication is one send of a batch.
type Publication struct {
	Envelope   *protocol.Envelope
	Kind       protocol.Kind
	To         []string // clients or groups; ignored for a broadcast
	Idempotent bool     // see PublishInbox; ignored when Ephemeral
	Ephemeral  bool     // see PublishEphemeral
	Await      *Await   // to inboxes, not ephemeral: keep track of what becomes of it
}

// PublishResult is what became of a Publication. Receipts has one element per address (one for a broadcast), also
// when Err is set.
type PublishResult struct {
	Receipts []Receipt
	Err      error
}

const (
	// maxPipeline is how many commands go to Redis at once; more are sent in several rounds, so that a large
	// batch does not hold up everybody else's commands.
	maxPipeline = 256
	// maxRounds bounds how often a script is called again because the server forgot it or the fence moved. One
	// is the rule, two after a restart; more only when somebody flushes scripts in a loop.
	maxRounds = 20
)

// PublishMany carries out many sends in pipelines. Each result stands for itself. Messages for the same stream are
// appended and announced in the order of pubs. An ephemeral one may overtake others when Redis has just restarted, and in a
// Cluster. All of it ends within the time of one command: see ErrUnavailable.
func (s *Store) PublishMany(ctx context.Context, pubs []Publication) []PublishResult {
	results := make([]PublishResult, len(pubs))
	sendings := make([]sending, len(pubs))
	jobs := make([]*job, 0, len(pubs))
	for i, pub := range pubs {
		sendings[i].pub = pub
		jobs = s.plan(jobs, &sendings[i], &results[i])
	}
	choosePlain(jobs)
	for _, j := range jobs {
		s.prepare(j)
	}
	if err := s.deliver(ctx, jobs); err != nil {
		return abandoned(pubs, err) // what is under way goes on writing to results
	}
	return results
}

func receiptsFor(to []string) []Receipt {
	rs := make([]Receipt, len(to))
	for i, addr := range to {
		rs[i].Addr = addr
	}
	return rs
}

// abandoned are the results of publications that nobody waited for to their end.
func abandoned(pubs []Publication, err error) []PublishResult {
	results := make([]PublishResult, len(pubs))
	for i, pub := range pubs {
		if pub.Kind == protocol.All {
			pub.To = broadcast
		}
		results[i].Receipts = receiptsFor(pub.To)
		(&job{pub: &pub, result: &results[i]}).fail(err)
	}
	return results
}

// broadcast is the one address of the broadcast stream.
var broadcast = []string{""}

var errScriptLost = fmt.Errorf("%w: the publish script vanished again and again", ErrUnavailable)

// performAll runs jobs, maxPipeline at a time and each lot to its end: the next may hold the same stream's next message.
func (s *Store) performAll(ctx context.Context, jobs []*job) {
	for len(jobs) > 0 {
		n := min(len(jobs), maxPipeline)
		s.perform(ctx, jobs[:n])
		jobs = jobs[n:]
	}
}

// perform runs jobs in one pipeline, and those whose script the server refused in another, until none is left.
//
// Order within a partition: all jobs of a round that share a partition call the same copy of the script. If one is
// refused, so are those behind it, since a fence never falls back and a forgotten copy is never loaded again.
func (s *Store) perform(ctx context.Context, jobs []*job) {
	for range maxRounds {
		jobs = s.round(ctx, jobs)
		if len(jobs) == 0 {
			return
		}
	}
	for _, j := range jobs {
		j.fail(errScriptLost)
	}
}

// round sends jobs once and returns those to send again, in their order.
func (s *Store) round(ctx context.Context, jobs []*job) (again []*job) {
	cmds := make([]rueidis.Completed, 0, len(jobs))
	plain := make([]*job, 0, len(jobs))
	parts := make(partitions, 0, len(jobs))
	for _, j := range jobs {
		j.refused = false
		if j.pub.Ephemeral {
			cmds = append(cmds, s.ephemeral(j)...)
			continue
		}
		l := parts.of(j.p, &s.lives).life
		j.sha = l.sha
		if j.plain {
			plain = append(plain, j)
			continue
		}
		cmds = append(cmds, s.evalsha(l.sha, s.whileStill(j.call)))
	}
	appends := s.appendings(plain, &parts)
	for _, c := range appends {
		cmds = append(cmds, s.appendCommand(c))
	}
	lost := s.takeAll(jobs, appends, s.doMulti(ctx, cmds...))
	for _, j := range jobs {
		if j.refused {
			again = append(again, j)
		}
	}
	if lost != nil {
		if err := s.newLife(ctx, lost.p, lost.sha); err != nil {
			for _, j := range again {
				j.fail(err)
			}
			return nil
		}
	}
	return again
}

// takeAll reads the replies of a round, marks the jobs that were refused, and returns one whose script the server does
// not know, if there is any.
func (s *Store) takeAll(jobs []*job, appends []*appending, replies []rueidis.RedisResult) (lost *job) {
	for _, j := range jobs {
		switch {
		case j.pub.Ephemeral:
			replies = replies[j.takeEphemeral(replies):]
			continue
		case j.plain:
			continue
		}
		fence, state := j.take(replies[0])
		replies = replies[1:]
		j.refused = state != settled
		switch state {
		case refusedFence:
			s.lives.learn(j.p, fence)
		case refusedLost:
			lost = j
		}
	}
	for i, c := range appends {
		state := s.takeAppended(c, replies[i])
		for _, j := range c.jobs {
			j.refused = state != settled
		}
		if state == refusedLost {
			lost = c.jobs[0]
		}
	}
	return lost
}
