package imhelper

import (
	"errors"

	"github.com/imtier/imtier/pkg/store"
)

var (
	// ErrInvalid is what every FieldError is: the request is wrong, repeating it does not help.
	ErrInvalid = errors.New("invalid")
	// ErrTooBig is what a FieldError about something too large is, in addition to ErrInvalid.
	ErrTooBig = errors.New("too big")
	// ErrNotFound means that the connection or the node that was named is not there.
	ErrNotFound = errors.New("not found")
	// ErrNoNode means that no imserver is running that takes new connections. Trying again can help.
	ErrNoNode = errors.New("no imserver takes connections")
	// ErrNoKeys is returned by PreConnect when Options.SigningKeys was not given.
	ErrNoKeys = errors.New("no signing keys")
	// ErrVetoed wraps the error that OnSend returned.
	ErrVetoed = errors.New("vetoed by OnSend")
	// ErrUnavailable means that Redis is away or refuses to write. Trying again can help. A send that ended with
	// it may or may not have taken place: to repeat it safely, give it an ID.
	ErrUnavailable = store.ErrUnavailable
	// ErrRedisTooOld and ErrPartitionMismatch end New for good; their text says what to do.
	ErrRedisTooOld       = store.ErrRedisTooOld
	ErrPartitionMismatch = store.ErrPartitionMismatch
)

// FieldError says which part of a request is wrong, by the name that it has in the HTTP API: "to", "to[3]", "data".
type FieldError struct {
	Field   string
	Problem string // completes a sentence that starts with the field: "is empty"
	TooBig  bool
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Is makes errors.Is(err, ErrInvalid) true, and errors.Is(err, ErrTooBig) for what is too large.
func (e *FieldError) Is(target error) bool {
	return target == ErrInvalid || target == ErrTooBig && e.TooBig
}
