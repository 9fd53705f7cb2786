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
	results := make([]PublishResult, len(pubs))
	jobs := make([]*job, 0, len(pubs))
	for i, pub := range pubs {
		if pub.Kind == protocol.All {
			pub.To = broadcast
		}
		results[i].Receipts = receiptsFor(pub.To)
		jobs = s.plan(jobs, &pub, &results[i])
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

// job is the part of a publication that lies in one partition: its place in a call of append.lua, a call of
// publish.lua, or a PUBLISH.
type job struct {
	p        int
	pub      *Publication
	result   *PublishResult
	at       []int  // which receivers of the publication
	envelope string // encoded

	plain   bool     // append.lua does it
	streams []string // of a plain one: the keys, one for each of at
	call    call     // of publish.lua

	online  bool   // of an ephemeral one: ask who is online
	push    string // of an ephemeral one: what to publish
	sha     string // the script's name in this round
	refused bool   // in this round
}

// plan splits a publication by partition.
func (s *Store) plan(jobs []*job, pub *Publication, result *PublishResult) []*job {
	envelope := rueidis.BinaryString(pub.Envelope.Encode())
	if len(pub.To) == 1 {
		p := s.keys.partitionOf(protocol.Stream{Kind: pub.Kind, Name: pub.To[0]})
		return append(jobs, &job{p: p, pub: pub, result: result, at: firstOnly, envelope: envelope})
	}
	where := make(map[int]*job, min(len(pub.To), s.Partitions()))
	for i, addr := range pub.To {
		p := s.keys.partitionOf(protocol.Stream{Kind: pub.Kind, Name: addr})
		j := where[p]
		if j == nil {
			j = &job{p: p, pub: pub, result: result, envelope: envelope}
			where[p] = j
			jobs = append(jobs, j)
		}
		j.at = append(j.at, i)
	}
	return jobs
}

// choosePlain decides which jobs of one PublishMany append.lua does. Where publish.lua is needed it does all of the
// partition: messages for one stream keep their order only when the same script appends them.
func choosePlain(jobs []*job) {
	var other map[int]bool
	for _, j := range jobs {
		j.plain = !j.pub.Ephemeral && !j.pub.Idempotent && j.pub.Await == nil
		if !j.plain && !j.pub.Ephemeral {
			if other == nil {
				other = make(map[int]bool)
			}
			other[j.p] = true
		}
	}
	for _, j := range jobs {
		j.plain = j.plain && !other[j.p]
	}
}

var firstOnly = []int{0}

// prepare makes what does not change from round to round.
func (s *Store) prepare(j *job) {
	switch {
	case j.pub.Ephemeral:
		s.prepareEphemeral(j)
	case j.plain:
		j.streams = make([]string, len(j.at))
		for k, i := range j.at {
			j.streams[k] = s.keys.stream(protocol.Stream{Kind: j.pub.Kind, Name: j.pub.To[i]})
		}
	default:
		s.preparePublish(j)
	}
}

func (s *Store) prepareEphemeral(j *job) {
	pub := j.pub
	push := protocol.Push{Kind: protocol.PushEphemeral, Envelope: []byte(j.envelope)}
	for _, i := range j.at {
		push.Targets = append(push.Targets, protocol.Target{Addr: pub.To[i]})
	}
	j.push = rueidis.BinaryString(push.Encode())
	j.online = pub.Kind == protocol.Inbox
}

func (s *Store) preparePublish(j *job) {
	pub := j.pub
	n := len(j.at)
	keys := make([]string, 2, 2+2*n)
	args := make([]string, 7, 7+n)
	keys[0], keys[1] = s.keys.epoch(j.p), s.keys.epoch(j.p)
	if pub.Kind == protocol.Inbox {
		keys[1] = s.keys.online(j.p)
	}
	args[0] = string(rune(pub.Kind))
	args[1] = s.channelFor(pub.Kind, j.p)
	args[2], args[3] = s.historySize, s.historyTTL
	args[4] = strconv.Itoa(int(protocol.IdempotencyWindow.Seconds()))
	args[5] = "0"
	args[6] = j.envelope
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
	lives := make(map[int]*life, len(jobs)) // one read per partition: another goroutine may learn a fence meanwhile
	for _, j := range jobs {
		j.refused = false
		if j.pub.Ephemeral {
			cmds = append(cmds, s.ephemeral(j)...)
			continue
		}
		l := lives[j.p]
		if l == nil {
			l = s.lives.of(j.p)
			lives[j.p] = l
		}
		j.sha = l.sha
		if j.plain {
			plain = append(plain, j)
			continue
		}
		cmds = append(cmds, s.evalsha(l.sha, j.call))
	}
	appends := s.appendings(plain, lives)
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
		members[k] = j.result.Receipts[i].Addr
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
		j.result.Err = wrap("publish to group "+j.result.Receipts[0].Addr, err)
	default:
		j.result.Err = wrap("publish to all", err)
	}
}
