package bus

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver/internal/hub"
	"github.com/imtier/imtier/pkg/protocol"
)

const (
	// controlWorkers act on joins and leaves at once; one client's are always one worker's, in order. A leave may take its worker
	// a second, see hub.Depart: the more there are, the fewer others wait for it.
	controlWorkers = 32
	// controlQueue is how many may wait for one worker. Beyond it they are dropped, and connections and memberships are
	// compared with Redis instead.
	controlQueue = 1024
)

// control acts on what concerns clients: a new membership needs Redis, so it cannot be done where pushes arrive.
type control struct {
	bus    *Bus
	seed   maphash.Seed
	queues [controlWorkers]chan task
}

// task is one thing to do for a client: what a push says, or comparing its memberships with Redis.
type task struct {
	push    *protocol.Push
	leaving *hub.Departure // of a leave, or what may be one: from it on the group is withheld
	heard   bool           // of what may be a leave: if it is one, that has been heard
	compare string         // clientId, when push is nil
	done    chan<- error   // gets the result of comparing
}

func newControl(b *Bus) *control {
	c := &control{bus: b, seed: maphash.MakeSeed()}
	for i := range c.queues {
		c.queues[i] = make(chan task, controlQueue)
	}
	return c
}

func (c *control) start(ctx context.Context, wg *sync.WaitGroup) {
	for _, q := range c.queues {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case t := <-q:
					if t.push != nil {
						c.act(ctx, t)
					} else {
						t.done <- c.bus.compareClient(ctx, t.compare)
					}
				}
			}
		})
	}
}

// add queues a push; it never blocks.
func (c *control) add(p *protocol.Push) {
	t := task{push: p}
	if p.Kind == protocol.PushLeave || p.Kind == protocol.PushUnsure {
		t.leaving = c.bus.o.Hub.Leaving(p.ClientID, p.Group, p.Pos)
	}
	c.put(t)
}

// put queues a task, or has all clients compared with Redis instead.
func (c *control) put(t task) {
	select {
	case c.queue(t.push.ClientID) <- t:
	default:
		c.bus.doubt()
		c.bus.clients.ask()
		if t.leaving != nil {
			c.bus.o.Hub.Stay(t.leaving) // the messages of groups are withheld from everybody
		}
	}
}

func (c *control) queue(clientID string) chan task {
	return c.queues[maphash.String(c.seed, clientID)%controlWorkers]
}

func (c *control) act(ctx context.Context, t task) {
	p := t.push
	if p.Kind == protocol.PushUnsure {
		c.unsure(ctx, t)
		return
	}
	if t.leaving != nil { // who has registered since has read the membership after the leave
		c.leave(ctx, t)
		return
	}
	if p.Kind == protocol.PushRevoke {
		revoke(c.bus.o.Hub.Conns(), p.JTI)
		return
	}
	conns := c.bus.o.Hub.ConnsOf(p.ClientID)
	if len(conns) == 0 {
		return
	}
	switch p.Kind {
	case protocol.PushKick:
		kick(conns, p)
	case protocol.PushReply:
		for _, conn := range conns {
			if conn.Origin == p.Origin {
				conn.Reply(p.ID, p.Frame)
			}
		}
	case protocol.PushJoin:
		if err := c.bus.join(ctx, conns, p.Group, p.Pos, p.History); err != nil && ctx.Err() == nil {
			c.bus.o.Log.Warn("follow a group, will compare", zap.String("client_id", p.ClientID),
				zap.String("group", p.Group), zap.Error(err))
			c.bus.missed.Add(1)
			c.bus.clients.ask()
		}
	}
}

// leave acts on a leave. Where one ends whose publisher does not tell, a comparison finds out.
func (c *control) leave(ctx context.Context, t task) {
	if t.push.Ends {
		c.bus.o.Hub.Depart(ctx, t.leaving)
		return
	}
	if err := c.bus.compareClient(ctx, t.push.ClientID); err != nil && ctx.Err() == nil {
		c.bus.doubt()
		c.bus.clients.ask()
	}
	c.bus.o.Hub.Stay(t.leaving)
}

// unsureWait is how long a server of a Cluster may take to tell whether somebody has left.
const unsureWait = time.Second

// unsure finds out whether a client has left a group. In a Cluster the server with the group's messages says that it may have, and
// another one, which has the client, that it has: a message that was sent after the leave may come before the word of it, and that
// may not even have been said yet. So Redis is asked whether the client is a member. If it is not, this is the leave, and the word
// of it will find nothing to do. If it is one still, or again, the group is withheld from it until everything has been heard that
// was published before: words of a leave and of a join that came after it are in this client's queue then.
func (c *control) unsure(ctx context.Context, t task) {
	if t.heard || len(c.bus.o.Hub.ConnsOf(t.push.ClientID)) == 0 {
		c.bus.o.Hub.Stay(t.leaving)
		return
	}
	wait, cancel := context.WithTimeout(ctx, unsureWait)
	defer cancel()
	member, err := c.bus.isMember(wait, t.push.ClientID, t.push.Group)
	if err == nil && !member {
		c.bus.o.Hub.Depart(ctx, t.leaving)
		return
	}
	if err == nil {
		err = c.bus.Heard(wait)
	}
	if err != nil && ctx.Err() == nil {
		c.bus.doubt()
		c.bus.clients.ask()
	}
	t.heard = true
	c.put(t)
}

func kick(conns []*hub.Conn, p *protocol.Push) {
	r, ok := protocol.ReasonOf(p.Code)
	if !ok {
		r = protocol.ReasonForcedOffline
	}
	for _, conn := range conns {
		if (p.ConnID == "" || p.ConnID == conn.ID) && (p.Device == "" || p.Device == conn.Device) {
			conn.EndBy(r, p.By)
		}
	}
}

func revoke(conns []*hub.Conn, jti string) {
	for _, conn := range conns {
		if conn.JTI == jti {
			conn.End(protocol.ReasonRevoked)
		}
	}
}

// join makes a client's connections follow a group from after pos. With history that is meant for raw ones only, and may
// be unknown: the others begin at the oldest message.
func (b *Bus) join(ctx context.Context, conns []*hub.Conn, group string, pos protocol.Position, history bool) error {
	st := protocol.GroupOf(group)
	release, err := b.hold(ctx, st)
	if err != nil {
		return err
	}
	defer release()
	for _, conn := range conns {
		switch {
		case !history:
			b.o.Hub.Join(conn, st, pos)
		case pos.IsZero():
			b.o.Hub.JoinWithHistory(conn, st, nil)
		default:
			b.o.Hub.JoinWithHistory(conn, st, &pos)
		}
	}
	return nil
}
