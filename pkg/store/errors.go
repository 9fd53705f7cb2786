package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

var (
	// ErrUnavailable means that Redis is away, did not answer in time, or refuses to write. Trying again later
	// can help. After a send it does not say whether the send took place.
	ErrUnavailable = errors.New("redis unavailable")
	// ErrRedisTooOld means that the Redis server lacks what imtier is built on. Final.
	ErrRedisTooOld = errors.New("redis too old")
	// ErrPartitionMismatch means that this Redis holds data written with another number of partitions. Final.
	ErrPartitionMismatch = errors.New("partition mismatch")
	// ErrURLUsed means that the pre-connect URL has been used before.
	ErrURLUsed = errors.New("connect URL already used")
	// ErrRevoked means that the client, or the URL that a connection goes back to, is revoked.
	ErrRevoked = errors.New("revoked")
	// ErrTooOften means that a client connects more often than it may.
	ErrTooOften = errors.New("too many connects")
)

// refusals are the error codes by which Redis says "not now": it is a replica, loads its data, is out of memory,
// cannot save, moves slots or runs somebody's long script. The rest are mistakes of ours, not states of Redis.
var refusals = map[string]bool{
	"READONLY":    true,
	"LOADING":     true,
	"MASTERDOWN":  true,
	"OOM":         true,
	"CLUSTERDOWN": true,
	"TRYAGAIN":    true,
	"MISCONF":     true,
	"NOREPLICAS":  true,
	"BUSY":        true,
	"MOVED":       true, // the cluster's layout changed more often than the client followed
	"ASK":         true,
}

// wrap says what was being done and marks the errors that mean "Redis is away" as ErrUnavailable. A nil error and
// the nil reply stay as they are.
func wrap(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnavailable), rueidis.IsRedisNil(err):
		return fmt.Errorf("%s: %w", action, err)
	case unavailable(err):
		return fmt.Errorf("%s: %w: %w", action, ErrUnavailable, err)
	default:
		return fmt.Errorf("%s: %w", action, err)
	}
}

// unavailable reports whether err tells of the state of Redis or of the way to it. A caller who gives up (a
// canceled context) is neither.
func unavailable(err error) bool {
	var caught scriptError
	if errors.As(err, &caught) {
		return refusals[caught.code()]
	}
	if re, ok := rueidis.IsRedisErr(err); ok {
		code, _, _ := strings.Cut(re.Error(), " ")
		return refusals[code]
	}
	var parse *rueidis.RedisError
	return !errors.As(err, &parse) && !rueidis.IsParseErr(err) && !errors.Is(err, context.Canceled)
}

// isNoScript reports that the server has no script of that name in its cache.
func isNoScript(err error) bool {
	re, ok := rueidis.IsRedisErr(err)
	return ok && re.IsNoScript()
}

// isMoving reports that a server of a Cluster has refused a command unseen: its slot is moving, or has no server for now.
func isMoving(err error) bool {
	re, ok := rueidis.IsRedisErr(err)
	return ok && (re.IsTryAgain() || re.IsClusterDown())
}

// scriptError is an error that a script caught and returned as text.
type scriptError string

func (e scriptError) Error() string { return string(e) }

// code is the first word, which names the kind of error.
func (e scriptError) code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}
