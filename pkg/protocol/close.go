package protocol

// Reason is why a connection ended. Every end has exactly one; each has one row in the table below, which gives
// its close code and its text (the close frame's reason and the label of metrics and logs).
//
// The rule for clients: after 4000–4499 reconnect, after 4500–4999 stay away until told otherwise.
type Reason uint8

const (
	ReasonNone Reason = iota
	ReasonPeerClosed
	ReasonPeerGone
	ReasonProtocol
	ReasonBadUTF8
	ReasonTooBig
	ReasonInternal
	ReasonDraining
	ReasonTooSlow
	ReasonNoPong
	ReasonStateLost
	ReasonHandedOver
	ReasonForcedOffline
	ReasonReplaced
	ReasonRevoked
	ReasonMisuse
	ReasonTooMuchInput
	reasonCount
)

// Close codes outside the reserved range are those of RFC 6455 §7.4.1. Zero means that no close frame is sent.
var reasons = [reasonCount]struct {
	code uint16
	text string
}{
	ReasonNone:          {0, "none"},
	ReasonPeerClosed:    {1000, "peer closed"},
	ReasonPeerGone:      {0, "peer gone"},
	ReasonProtocol:      {1002, "broken framing"},
	ReasonBadUTF8:       {1007, "invalid UTF-8"},
	ReasonTooBig:        {1009, "message too big"},
	ReasonInternal:      {1011, "internal error"},
	ReasonDraining:      {4000, "draining"},
	ReasonTooSlow:       {4001, "too slow"},
	ReasonNoPong:        {4002, "no pong"},
	ReasonStateLost:     {4003, "state lost"},
	ReasonHandedOver:    {4004, "handed over"},
	ReasonForcedOffline: {4500, "forced offline"},
	ReasonReplaced:      {4501, "replaced by another device"},
	ReasonRevoked:       {4502, "revoked"},
	ReasonMisuse:        {4503, "protocol error"},
	ReasonTooMuchInput:  {4504, "too much input"},
}

// FirstFinalCode is the first close code after which a client stays away.
const FirstFinalCode = 4500

// Code is the WebSocket close code, or 0 when none is sent.
func (r Reason) Code() int { return int(r.row().code) }

// String is the reason's stable text.
func (r Reason) String() string { return r.row().text }

func (r Reason) row() (row struct {
	code uint16
	text string
}) {
	if r < reasonCount {
		return reasons[r]
	}
	return reasons[ReasonInternal]
}

// ReasonOf finds the reason that has a close code; ok is false for a code outside the table.
func ReasonOf(code int) (r Reason, ok bool) {
	for i, row := range reasons {
		if row.code != 0 && int(row.code) == code {
			return Reason(i), true
		}
	}
	return ReasonNone, false
}

// Reasons lists every reason but ReasonNone, for those who make a metric or a document of them.
func Reasons() []Reason {
	out := make([]Reason, 0, reasonCount-1)
	for r := ReasonNone + 1; r < reasonCount; r++ {
		out = append(out, r)
	}
	return out
}
