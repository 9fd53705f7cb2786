package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

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
// appended in the order of pubs. All of it ends within the time of one command: see ErrUnavailable.
func (s *Store) PublishMany(ctx context.Context, pubs []Publication) []PublishResult {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	results := make([]PublishResult, len(pubs))
	var jobs []job
	for i, pub := range pubs {
		if pub.Kind == protocol.All {
			pub.To = broadcast
		}
		results[i].Receipts = make([]Receipt, len(pub.To))
		jobs = s.plan(jobs, &pub, &results[i])
	}
	for len(jobs) > 0 {
		n := min(len(jobs), maxPipeline)
		s.perform(ctx, jobs[:n]) // to its end, retries too: a later chunk may hold the same stream's next message
		jobs = jobs[n:]
	}
	return results
}

// broadcast is the one address of the broadcast stream.
var broadcast = []string{""}

// job is the part of a publication that lies in one partition: one script call, or one PUBLISH.
type job struct {
	p      int
	pub    *Publication
	result *PublishResult
	at     []int // which receivers of the publication
	call   call  // of the publish script; unused when ephemeral

	online bool   // of an ephemeral one: ask who is online
	push   string // of an ephemeral one: what to publish
	sha    string // the script's name in this round
}

// plan splits a publication by partition.
func (s *Store) plan(jobs []job, pub *Publication, result *PublishResult) []job {
	first := len(jobs)
	if len(pub.To) == 1 {
		p := s.keys.partitionOf(protocol.Stream{Kind: pub.Kind, Name: pub.To[0]})
		jobs = append(jobs, job{p: p, pub: pub, result: result, at: firstOnly})
	} else {
		where := make(map[int]int, min(len(pub.To), s.Partitions()))
		for i, addr := range pub.To {
			p := s.keys.partitionOf(protocol.Stream{Kind: pub.Kind, Name: addr})
			j, ok := where[p]
			if !ok {
				j = len(jobs)
				where[p] = j
				jobs = append(jobs, job{p: p, pub: pub, result: result})
			}
			jobs[j].at = append(jobs[j].at, i)
		}
	}
	for i, addr := range pub.To {
		result.Receipts[i].Addr = addr
	}
	envelope := pub.Envelope.Encode()
	for i := range jobs[first:] {
		s.prepare(&jobs[first+i], envelope)
	}
	return jobs
}

var firstOnly = []int{0}

// prepare makes what does not change from round to round.
func (s *Store) prepare(j *job, envelope []byte) {
	pub := j.pub
	if pub.Ephemeral {
		push := protocol.Push{Kind: protocol.PushEphemeral, Envelope: envelope}
		for _, i := range j.at {
			push.Targets = append(push.Targets, protocol.Target{Addr: pub.To[i]})
		}
		j.push = rueidis.BinaryString(push.Encode())
		j.online = pub.Kind == protocol.Inbox
		return
	}
	n := len(j.at)
	keys := make([]string, 2, 2+2*n)
	args := make([]string, 7, 7+n)
	keys[0], keys[1] = s.keys.epoch(j.p), s.keys.epoch(j.p)
	if pub.Kind == protocol.Inbox {
		keys[1] = s.keys.online(j.p)
	}
	args[0] = string(rune(pub.Kind))
	args[1] = s.channelFor(pub.Kind, j.p)
	args[2] = strconv.Itoa(s.opts.HistorySize)
	args[3] = strconv.FormatInt(s.opts.HistoryTTL.Milliseconds(), 10)
	args[4] = strconv.Itoa(int(protocol.IdempotencyWindow.Seconds()))
	args[5] = "0"
	args[6] = rueidis.BinaryString(envelope)
	if pub.Await != nil {
		args[0] = kindAwaited
	}
	for _, i := range j.at {
		keys = append(keys, s.keys.stream(protocol.Stream{Kind: pub.Kind, Name: pub.To[i]}))
		args = append(args, pub.To[i])
	}
	if pub.Idempotent {
		args[5] = "1"
		for _, i := range j.at {
			st := protocol.Stream{Kind: pub.Kind, Name: pub.To[i]}
			keys = append(keys, s.keys.idem(st, pub.Envelope.From, pub.Envelope.ID))
		}
	}
	if pub.Await != nil {
		keys, args = s.appendAwait(j, keys, args)
	}
	j.call = call{keys, args}
}

func (s *Store) channelFor(kind protocol.Kind, p int) string {
	switch kind {
	case protocol.Inbox:
		return s.keys.clientChannel(p)
	case protocol.Group:
		return s.keys.groupChannel(p)
	default:
		return s.keys.allChannel()
	}
}

var errScriptLost = fmt.Errorf("%w: the publish script vanished again and again", ErrUnavailable)

// perform runs jobs in one pipeline, and those whose script the server refused in another, until none is left.
//
// Order within a partition: all jobs of a round that share a partition call the same copy of the script. If one is
// refused, so are those behind it, since a fence never falls back and a forgotten copy is never loaded again.
func (s *Store) perform(ctx context.Context, jobs []job) {
	pending := make([]*job, len(jobs))
	for i := range jobs {
		pending[i] = &jobs[i]
	}
	for range maxRounds {
		pending = s.round(ctx, pending)
		if len(pending) == 0 {
			return
		}
	}
	for _, j := range pending {
		j.fail(errScriptLost)
	}
}

// round sends jobs once and returns those to send again.
func (s *Store) round(ctx context.Context, jobs []*job) (again []*job) {
	cmds := make([]rueidis.Completed, 0, len(jobs))
	shas := make(map[int]string, len(jobs))
	for _, j := range jobs {
		if j.pub.Ephemeral {
			cmds = append(cmds, s.ephemeral(j)...)
			continue
		}
		sha, ok := shas[j.p] // one read per partition: another goroutine may learn a fence meanwhile
		if !ok {
			sha = s.lives.of(j.p).sha
			shas[j.p] = sha
		}
		j.sha = sha
		cmds = append(cmds, s.evalsha(sha, j.call))
	}
	replies := s.doMulti(ctx, cmds...)
	var lost *job // one whose script the server does not know
	for _, j := range jobs {
		if j.pub.Ephemeral {
			replies = replies[j.takeEphemeral(replies):]
			continue
		}
		reply := replies[0]
		replies = replies[1:]
		switch fence, state := j.take(reply); state {
		case refusedFence:
			s.lives.learn(j.p, fence)
			again = append(again, j)
		case refusedLost:
			lost = j
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

// What the server did with a script call.
type taken int

const (
	settled      taken = iota // done, or failed for good
	refusedFence              // nothing: the partition's fence is another one
	refusedLost               // nothing: it does not know this copy of the script
)

// take reads the reply to a script call into the result.
func (j *job) take(reply rueidis.RedisResult) (fence uint64, state taken) {
	msg, err := reply.ToMessage()
	if err != nil {
		if isNoScript(err) {
			return 0, refusedLost
		}
		j.fail(err)
		return 0, settled
	}
	if text, err := msg.ToString(); err == nil {
		return parseFence(text), refusedFence
	}
	rows, err := msg.ToArray()
	if err != nil || len(rows) != 3*len(j.at) {
		j.fail(errors.New("unexpected reply of the publish script"))
		return 0, settled
	}
	for k, i := range j.at {
		text, err := rows[3*k].ToString()
		if err != nil {
			j.fail(err)
			return 0, settled
		}
		pos, err := protocol.ParsePosition(text)
		if err != nil {
			j.fail(err)
			return 0, settled
		}
		online, _ := rows[3*k+1].AsInt64()
		dup, _ := rows[3*k+2].AsInt64()
		r := &j.result.Receipts[i]
		r.Pos, r.Online, r.Duplicate = pos, online == 1, dup == 1
	}
	return 0, settled
}

// ephemeral makes the commands of an ephemeral job.
func (s *Store) ephemeral(j *job) []rueidis.Completed {
	publish := s.client.B().Publish().Channel(s.channelFor(j.pub.Kind, j.p)).Message(j.push).Build()
	if !j.online {
		return []rueidis.Completed{publish}
	}
	members := make([]string, len(j.at))
	for k, i := range j.at {
		members[k] = j.pub.To[i]
	}
	return []rueidis.Completed{publish, s.client.B().Zmscore().Key(s.keys.online(j.p)).Member(members...).Build()}
}

// takeEphemeral reads the replies to an ephemeral job and says how many there were.
func (j *job) takeEphemeral(replies []rueidis.RedisResult) int {
	if err := replies[0].Error(); err != nil {
		j.fail(err)
	}
	if !j.online {
		return 1
	}
	scores, err := replies[1].ToArray()
	if err != nil {
		j.fail(err)
		return 2
	}
	for k, i := range j.at {
		if k < len(scores) {
			j.result.Receipts[i].Online = !scores[k].IsNil()
		}
	}
	return 2
}

// fail records the first error of the publication that the job is part of.
func (j *job) fail(err error) {
	if j.result.Err != nil {
		return
	}
	switch j.pub.Kind {
	case protocol.Inbox:
		j.result.Err = wrap("publish to clients", err)
	case protocol.Group:
		j.result.Err = wrap("publish to group "+j.pub.To[0], err)
	default:
		j.result.Err = wrap("publish to all", err)
	}
}
