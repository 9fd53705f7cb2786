package store

import (
	"errors"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

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
