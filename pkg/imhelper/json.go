package imhelper

import (
	"encoding/json"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

// What methods return is encoded as webapi answers it, for backends that hand it to a page: names and omissions are in the
// fields' tags; here is what tags cannot say. Times are Unix milliseconds, positions are text, and no more history is "".
// The types below embed the public one without its methods; a field of their own hides that of the same name.

// millis is a time in JSON: Unix milliseconds, 0 for the zero time.
type millis time.Time

func (m millis) IsZero() bool { return time.Time(m).IsZero() }

func (m millis) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("0"), nil
	}
	return json.Marshal(time.Time(m).UnixMilli())
}

func (m *millis) UnmarshalJSON(b []byte) error {
	var ms int64
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	*m = millis{}
	if ms != 0 {
		*m = millis(time.UnixMilli(ms))
	}
	return nil
}

type plainConnect Connect

type connectJSON struct {
	*plainConnect
	ExpiresAt millis `json:"expiresAt"`
}

func (c Connect) MarshalJSON() ([]byte, error) {
	return json.Marshal(connectJSON{(*plainConnect)(&c), millis(c.ExpiresAt)})
}

func (c *Connect) UnmarshalJSON(b []byte) error {
	in := connectJSON{plainConnect: (*plainConnect)(c)}
	err := json.Unmarshal(b, &in)
	c.ExpiresAt = time.Time(in.ExpiresAt)
	return err
}

type plainHistoryMessage HistoryMessage

type historyMessageJSON struct {
	*plainHistoryMessage
	Time millis `json:"time"`
}

func (m HistoryMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(historyMessageJSON{(*plainHistoryMessage)(&m), millis(m.Time)})
}

func (m *HistoryMessage) UnmarshalJSON(b []byte) error {
	in := historyMessageJSON{plainHistoryMessage: (*plainHistoryMessage)(m)}
	err := json.Unmarshal(b, &in)
	m.Time = time.Time(in.Time)
	return err
}

type plainHistory History

type historyJSON struct {
	*plainHistory
	Next string `json:"next"`
}

func (h History) MarshalJSON() ([]byte, error) {
	out := historyJSON{plainHistory: (*plainHistory)(&h)}
	if !h.Next.IsZero() {
		out.Next = h.Next.String()
	}
	return json.Marshal(out)
}

func (h *History) UnmarshalJSON(b []byte) (err error) {
	in := historyJSON{plainHistory: (*plainHistory)(h)}
	h.Next = protocol.Position{}
	if err = json.Unmarshal(b, &in); err == nil && in.Next != "" {
		h.Next, err = protocol.ParsePosition(in.Next)
	}
	return err
}

type plainClient Client

type clientJSON struct {
	*plainClient
	LastSeen millis `json:"lastSeen,omitzero"`
}

func (c Client) MarshalJSON() ([]byte, error) {
	return json.Marshal(clientJSON{(*plainClient)(&c), millis(c.LastSeen)})
}

func (c *Client) UnmarshalJSON(b []byte) error {
	in := clientJSON{plainClient: (*plainClient)(c)}
	err := json.Unmarshal(b, &in)
	c.LastSeen = time.Time(in.LastSeen)
	return err
}

type plainConnection Connection

type connectionJSON struct {
	*plainConnection
	Since millis `json:"since"`
}

func (c Connection) MarshalJSON() ([]byte, error) {
	return json.Marshal(connectionJSON{(*plainConnection)(&c), millis(c.Since)})
}

func (c *Connection) UnmarshalJSON(b []byte) error {
	in := connectionJSON{plainConnection: (*plainConnection)(c)}
	err := json.Unmarshal(b, &in)
	c.Since = time.Time(in.Since)
	return err
}

type plainNode Node

type nodeJSON struct {
	*plainNode
	Started millis `json:"started"`
	Renewed millis `json:"renewed"`
}

func (n Node) MarshalJSON() ([]byte, error) {
	return json.Marshal(nodeJSON{(*plainNode)(&n), millis(n.Started), millis(n.Renewed)})
}

func (n *Node) UnmarshalJSON(b []byte) error {
	in := nodeJSON{plainNode: (*plainNode)(n)}
	err := json.Unmarshal(b, &in)
	n.Started, n.Renewed = time.Time(in.Started), time.Time(in.Renewed)
	return err
}

type plainDeadLetter DeadLetter

type deadLetterJSON struct {
	*plainDeadLetter
	Time millis `json:"time"`
}

func (d DeadLetter) MarshalJSON() ([]byte, error) {
	return json.Marshal(deadLetterJSON{(*plainDeadLetter)(&d), millis(d.Time)})
}

func (d *DeadLetter) UnmarshalJSON(b []byte) error {
	in := deadLetterJSON{plainDeadLetter: (*plainDeadLetter)(d)}
	err := json.Unmarshal(b, &in)
	d.Time = time.Time(in.Time)
	return err
}
