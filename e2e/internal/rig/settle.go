package rig

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/imtier/imtier/e2e/internal/check"
	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/ledger"
)

const (
	markAgain    = time.Second             // without everybody having the markers
	ackStored    = 1500 * time.Millisecond // from handling to Redis: 200 ms in the client, 500 ms in the node, a busy machine
	receiptTime  = 20 * time.Second        // for receipts: a janitor sends those that were interrupted, after 5 s
	leaveTimeout = 30 * time.Second        // for nodes to let go of everything
	quiet        = 300 * time.Millisecond
	shown        = 25 // violations printed; the rest is in the ledgers
)

// Mark sends one message to each stream and waits until every client has what is for it, and so everything before it. It
// returns how long that took. Those to groups and everybody are repeated now and then: a client that Redis has forgotten to be a
// member gets none until it has connected again, and a device that was never there begins with what comes next.
func (l *Load) Mark(within time.Duration) (took time.Duration, all bool) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(l.T.Context(), within)
	defer cancel()
	defer l.clubs.hold(ctx)()
	ids := make([]string, len(l.Clients))
	since := make([]int, len(l.Clients))
	for i, c := range l.Clients {
		ids[i] = c.ID()
		since[i] = len(c.Ledger().Entries())
	}
	l.markers.send(ctx, ledger.Send{Kind: ledger.Direct, To: ids})
	for !all && ctx.Err() == nil {
		l.markers.send(ctx, ledger.Send{Kind: ledger.Broadcast})
		for _, g := range slices.Concat(l.Groups, l.clubs.names) {
			l.markers.send(ctx, ledger.Send{Kind: ledger.Group, To: []string{g}})
		}
		all = l.arrived(ctx, since)
	}
	return time.Since(begin), all
}

// arrived waits for a while until every client has a direct marker, a broadcast one, and one of each of its groups, all
// of them after its entry number since.
func (l *Load) arrived(ctx context.Context, since []int) bool {
	ctx, cancel := context.WithTimeout(ctx, markAgain)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for i, c := range l.Clients {
		for !l.marked(c, since[i]) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}

func (l *Load) marked(c *client.Client, since int) bool {
	streams := make(map[string]bool)
	for _, e := range c.Ledger().Since(since) {
		if e.What == ledger.Message && strings.HasPrefix(e.Key, "marker/") {
			streams[e.Stream] = true
		}
	}
	return len(streams) >= 2+len(c.Ledger().Groups)+l.clubs.of(c)
}

// Calm waits until everybody has everything and it is stored what everybody acknowledged; the test must break nothing until
// it returns. Clients that come back later without a word about where they stopped have to go on there.
func (l *Load) Calm() {
	l.T.Helper()
	if took, all := l.Mark(l.options.Settle); !all {
		l.T.Logf("after %v not everybody has everything: it is not calm", took) // which the checker will report
		return
	}
	at := time.Now()
	<-time.After(ackStored)
	l.Publisher.Calm(at)
}

// Check fails the test for every violation that Violations finds, and for everybody who does not come back; then the
// ledgers are kept.
func (l *Load) Check() {
	l.T.Helper()
	found, took, all := l.Violations()
	if !all {
		l.T.Errorf("after %v not everybody has the last message", took)
		for _, c := range l.Clients {
			if err := c.Trouble(); err != nil {
				l.T.Logf("%s could not connect: %v", c.ID(), err)
			}
		}
	}
	for i, v := range found {
		if i == shown {
			l.T.Errorf("and %d more", len(found)-shown)
			break
		}
		l.T.Error(v)
	}
	if l.T.Failed() {
		if err := ledger.Save(l.Dir, l.Publisher, l.ledgers()); err != nil {
			l.T.Log(err)
		}
	}
}

// Violations stops the senders, waits until everything has arrived or should have, compares the ledgers and, when the
// clients have left, what the nodes hold. all tells whether everybody got the last messages.
func (l *Load) Violations() (found []check.Violation, took time.Duration, all bool) {
	l.stop()
	l.senders.Wait()
	took, all = l.Mark(l.options.Settle)
	<-time.After(quiet) // what must not come has a moment to come
	found = l.compare()
	found = append(found, l.letGo()...)
	l.log()
	return found, took, all
}

// compare compares the ledgers, again for a while if receipts are missing.
func (l *Load) compare() (found []check.Violation) {
	for deadline := time.Now().Add(receiptTime); ; {
		found = check.Compare(l.Publisher, l.ledgers())
		waits := slices.ContainsFunc(found, func(v check.Violation) bool { return v.Rule == check.Receipt })
		if !waits || time.Now().After(deadline) {
			return found
		}
		<-time.After(time.Second)
	}
}

// letGo disconnects all clients and waits until the nodes hold what they held before.
func (l *Load) letGo() []check.Violation {
	l.leave()
	l.online.Wait()
	var found []check.Violation
	for deadline := time.Now().Add(leaveTimeout); ; {
		found = nil
		for i, n := range l.Nodes {
			if i >= len(l.Before) || !n.Running() {
				continue // if it ended by itself, the end of the test tells
			}
			st, err := n.State(l.T.Context())
			if err != nil {
				found = append(found, check.Violation{Rule: check.Leak, Text: err.Error()})
				continue
			}
			found = append(found, check.Leaks(l.Before[i], st)...)
		}
		if len(found) == 0 || time.Now().After(deadline) {
			return found
		}
		<-time.After(10 * poll)
	}
}

// firstCalls is when each message was sent for the first time: whoever waits for one that has to be tried again waits since then.
func firstCalls(sends []ledger.Send) map[string]time.Time {
	called := make(map[string]time.Time)
	for _, s := range sends {
		if _, again := called[s.Key]; !again {
			called[s.Key] = s.Called
		}
	}
	return called
}

// Latencies are how long after the first call of its send each message arrived that came between two moments and was not
// replayed, in order; slow clients do not count.
func (l *Load) Latencies(from, to time.Time) (all []time.Duration) {
	called := firstCalls(l.Publisher.Sends())
	for _, c := range l.Clients[:l.options.Clients] {
		for _, e := range c.Ledger().Entries() {
			at, ok := called[e.Key]
			if ok && e.What == ledger.Message && !e.Replayed && e.At.After(from) && e.At.Before(to) {
				all = append(all, e.At.Sub(at))
			}
		}
	}
	slices.Sort(all)
	return all
}

// log writes what the run was worth.
func (l *Load) log() {
	count := make(map[ledger.Outcome]int)
	for _, s := range l.Publisher.Sends() {
		count[s.Outcome]++
	}
	seen, ways := make(map[ledger.What]int), make(map[ledger.Way]int)
	replayed, untold := 0, 0
	for _, c := range l.Clients {
		for _, e := range c.Ledger().Entries() {
			seen[e.What]++
			if e.What == ledger.Opened {
				ways[e.Way]++
			}
			if e.Replayed {
				replayed++
			}
			if e.What == ledger.Started && !e.Recovered {
				untold++
			}
		}
	}
	l.T.Logf("attempts: %d ok, %d failed, %d unknown; clients: %d connections, %d messages (%d replayed), %d gaps, %d starts not recovered",
		count[ledger.OK], count[ledger.Failed], count[ledger.Unknown],
		seen[ledger.Opened], seen[ledger.Message], replayed, seen[ledger.Gap], untold)
	l.T.Logf("ways to come back: %v; %d receipts, %d reads; %d changes of memberships, %d joined, %d left",
		ways, seen[ledger.Receipt], seen[ledger.Read], len(l.Publisher.Changes()), seen[ledger.Joined], seen[ledger.Left])
}

// Full tells whether faults are to last as long as they do in the wild; otherwise they are shortened.
func Full() bool { return os.Getenv("RIG_FULL") != "" }
