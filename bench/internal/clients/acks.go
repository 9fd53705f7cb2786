package clients

import "time"

// ackDelay is how long acknowledgements are collected, as client-js does.
const ackDelay = time.Second

// acks are the acknowledgements that a fleet owes, in the order in which they are due.
type acks []owed

type owed struct {
	c   *conn
	due time.Time
}

// owe notes that a client has got something, at a time.
func (a *acks) owe(c *conn, now time.Time) {
	if !c.acks || c.owes {
		return
	}
	c.owes = true
	*a = append(*a, owed{c, now.Add(ackDelay)})
}

// take returns the next client whose time has come, nil if there is none.
func (a *acks) take(now time.Time) *conn {
	if len(*a) == 0 || now.Before((*a)[0].due) {
		return nil
	}
	c := (*a)[0].c
	*a = (*a)[1:]
	c.owes = false
	return c
}

// acknowledge sends what is due.
func (l *loop) acknowledge() {
	if len(l.acks) == 0 {
		return
	}
	for now := time.Now(); ; {
		c := l.acks.take(now)
		if c == nil {
			return
		}
		if l.conns[c.fd].Load() == c {
			l.write(c, c.at.ack())
			l.acked.Add(1)
		}
	}
}
