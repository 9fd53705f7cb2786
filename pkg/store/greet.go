package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// A server that does not know the publishing scripts may have lost something, see fence.go: then every client is told so. Two
// kinds of server of a Cluster would be taken for what they are not.
//
// One that has just joined does not know the scripts either, and has lost nothing: it is told them before it gets its first slot.
// It has to say itself that it has none: the others say so too of a master that was away, while it still believes to have its
// old slots; when it learns better it becomes a replica.
//
// A master whose last slot has moved away becomes a replica of the one that got it, and still knows the scripts. If that one dies
// it would pass for a server that has lost nothing. So replicas are made to forget them.

// greet does both.
func (s *Store) greet(ctx context.Context) error {
	if !s.cluster {
		return nil
	}
	life, err := s.presentLife(ctx)
	if err != nil || life == noLife {
		return wrap("look which life it is", err)
	}
	text, err := s.do(ctx, s.client.B().ClusterNodes().Build()).ToString()
	if err != nil {
		return wrap("look for servers that have joined", err)
	}
	var errs error
	for _, n := range clusterNodes(text) {
		if !n.joined() {
			continue
		}
		if err := s.loadAt(ctx, n.addr, life.fence); !errors.Is(err, errNotJoined) { // else it is asked again
			errs = errors.Join(errs, wrap("load publish script on "+n.addr, err))
		}
	}
	return errors.Join(errs, s.forget(ctx, life))
}

// presentLife asks which life it is: another process may have begun one, and who does not publish does not find out.
func (s *Store) presentLife(ctx context.Context) (*life, error) {
	fence, err := s.do(ctx, s.client.B().Get().Key(s.keys.epoch(allPartition)).Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return nil, err
	}
	s.lives.learn(allPartition, parseFence(fence))
	return s.lives.of(allPartition), nil
}

// clusterNode is what CLUSTER NODES says about one server.
type clusterNode struct {
	addr  string
	flags []string
	slots int // how many ranges
}

// clusterNodes reads lines of
//
//	id host:port@bus,name flags master ping pong epoch link slot…
func clusterNodes(text string) (nodes []clusterNode) {
	const address, flags, slots = 1, 2, 8
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < slots {
			continue
		}
		nodes = append(nodes, clusterNode{addressOf(f[address]), strings.Split(f[flags], ","), len(f) - slots})
	}
	return nodes
}

// addressOf reads host:port@bus,name; the host of an IPv6 address stands in no brackets there.
func addressOf(text string) string {
	addr, _, _ := strings.Cut(text, "@")
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return addr
	}
	return net.JoinHostPort(addr[:i], addr[i+1:])
}

func (n clusterNode) is(flag string) bool { return slices.Contains(n.flags, flag) }

// joined tells of a master without slots that can be reached.
func (n clusterNode) joined() bool {
	return n.is("master") && n.slots == 0 && !n.is("fail") && !n.is("fail?") && !n.is("handshake") && !n.is("noaddr")
}

var errNotJoined = errors.New("it does not say itself that it has no slots")

// loadAt loads the publishing scripts on a server that the client does not know, since it has no slots.
func (s *Store) loadAt(ctx context.Context, addr string, fence uint64) error {
	conn, err := s.dialPubSub(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	r := newPubSubReader(conn, nil)
	ask := func(args ...string) (string, error) {
		if _, err := conn.Write(appendCommand(nil, args...)); err != nil {
			return "", err
		}
		answer, err := r.bulk(nil)
		return string(answer), err
	}
	nodes, err := ask("CLUSTER", "NODES")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(clusterNodes(nodes), func(n clusterNode) bool { return n.is("myself") && n.joined() }) {
		return errNotJoined
	}
	for _, t := range []scriptText{copyFor(fence, publishLua, true), copyFor(fence, appendLua, true)} {
		sha, err := ask("SCRIPT", "LOAD", t.text)
		if err != nil {
			return err
		}
		if sha != t.sha {
			return fmt.Errorf("redis answered %q", sha)
		}
	}
	return nil
}

// forget makes replicas forget the publishing scripts, and with them all others.
func (s *Store) forget(ctx context.Context, life *life) error {
	var errs error
	for addr, node := range s.client.Nodes() {
		if err := s.forgetAt(ctx, node, life); err != nil {
			errs = errors.Join(errs, wrap("forget publish script on "+addr, err))
		}
	}
	return errs
}

func (s *Store) forgetAt(ctx context.Context, node rueidis.Client, life *life) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if role(ctx, node) != "slave" { // a master that does not say so now must keep them
		return nil
	}
	known, err := node.Do(ctx, node.B().ScriptExists().Sha1(life.sha, life.append).Build()).AsIntSlice()
	if err != nil || !slices.Contains(known, 1) {
		return err
	}
	return node.Do(ctx, node.B().ScriptFlush().Build()).Error()
}
