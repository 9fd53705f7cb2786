package store

import (
	"strconv"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// sending is one publication under way. Most have one address; there is room for what that takes, so that all publications
// of a call are one piece of memory.
type sending struct {
	pub     Publication
	job     job
	receipt [1]Receipt
	stream  [1]string
}

// job is the part of a publication that lies in one partition: its place in a call of append.lua, a call of
// publish.lua, or a PUBLISH.
type job struct {
	p        int
	pub      *Publication
	result   *PublishResult
	at       []int  // which receivers of the publication
	envelope []byte // encoded

	plain   bool     // append.lua does it
	streams []string // of a plain one: the keys, one for each of at
	call    call     // of publish.lua

	online  bool   // of an ephemeral one: ask who is online
	push    string // of an ephemeral one: what to publish
	sha     string // the script's name in this round
	refused bool   // in this round
}

// plan splits a publication by partition, and gives its result a receipt per address.
func (s *Store) plan(jobs []*job, one *sending, result *PublishResult) []*job {
	pub := &one.pub
	if pub.Kind == protocol.All {
		pub.To = broadcast
	}
	envelope := pub.Envelope.Encode()
	if len(pub.To) == 1 {
		one.receipt[0].Addr = pub.To[0]
		result.Receipts = one.receipt[:]
		one.job = job{
			p:   s.keys.partitionOf(protocol.Stream{Kind: pub.Kind, Name: pub.To[0]}),
			pub: pub, result: result, at: firstOnly, envelope: envelope, streams: one.stream[:],
		}
		return append(jobs, &one.job)
	}
	result.Receipts = receiptsFor(pub.To)
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

// choosePlain decides which jobs of one PublishMany append.lua does. Messages for one stream keep their order only when the
// same script appends them, so where publish.lua is needed it does all of the partition; and since what append.lua does comes
// last in the pipeline, publish.lua also does what must be heard before an ephemeral message.
func choosePlain(jobs []*job) {
	other := make(map[int]bool)
	told := make(map[protocol.Stream]bool) // of ephemeral messages
	for _, j := range jobs {
		j.plain = !j.pub.Ephemeral && !j.pub.Idempotent && j.pub.Await == nil
		switch {
		case j.pub.Ephemeral:
			for _, i := range j.at {
				told[protocol.Stream{Kind: j.pub.Kind, Name: j.pub.To[i]}] = true
			}
		case !j.plain:
			other[j.p] = true
		}
	}
	for _, j := range jobs {
		for k := 0; j.plain && len(told) > 0 && k < len(j.at); k++ {
			other[j.p] = other[j.p] || told[protocol.Stream{Kind: j.pub.Kind, Name: j.pub.To[j.at[k]]}]
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
		if j.streams == nil {
			j.streams = make([]string, len(j.at))
		}
		for k, i := range j.at {
			j.streams[k] = s.keys.streamIn(j.p, protocol.Stream{Kind: j.pub.Kind, Name: j.pub.To[i]})
		}
	default:
		s.preparePublish(j)
	}
}

func (s *Store) prepareEphemeral(j *job) {
	pub := j.pub
	push := protocol.Push{Kind: protocol.PushEphemeral, Envelope: j.envelope}
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
	args[6] = rueidis.BinaryString(j.envelope)
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

// ephemeral makes the commands of an ephemeral job.
func (s *Store) ephemeral(j *job) []rueidis.Completed {
	publish := s.announce(s.channelFor(j.pub.Kind, j.p), j.push)
	if !j.online {
		return []rueidis.Completed{publish}
	}
	members := make([]string, len(j.at))
	for k, i := range j.at {
		members[k] = j.result.Receipts[i].Addr
	}
	return []rueidis.Completed{publish, s.client.B().Zmscore().Key(s.keys.online(j.p)).Member(members...).Build()}
}
