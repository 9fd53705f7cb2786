package store

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// slotsTimeout is how long one server may take to tell the slots before another one is asked.
const slotsTimeout = time.Second

// slots are which server of a Cluster has which slots, in their order.
type slots []slotRange

type slotRange struct {
	first, last int
	addr        string // of the master
}

// server is the address of the master that has the slot of a key or channel.
func (ss slots) server(name string) (addr string, known bool) {
	slot := protocol.Slot(name)
	i, found := slices.BinarySearchFunc(ss, slot, func(r slotRange, slot int) int {
		switch {
		case r.last < slot:
			return -1
		case r.first > slot:
			return 1
		}
		return 0
	})
	if !found {
		return "", false
	}
	return ss[i].addr, true
}

// readSlots asks the servers of a Cluster until one tells that thinks well of the Cluster: one that was cut off from the others does
// not, and knows nothing of what has changed. When none does, a slot has no server or most servers are away, and any will do.
func (s *Store) readSlots(ctx context.Context) (slots, error) {
	var doubtful slots
	err := errors.New("no server is known")
	for addr, node := range s.client.Nodes() {
		ss, well, e := slotsOf(ctx, addr, node)
		switch {
		case e == nil && well:
			return ss, nil
		case e == nil:
			doubtful = ss
		default:
			err = e
		}
		if ctx.Err() != nil {
			break
		}
	}
	if doubtful != nil {
		return doubtful, nil
	}
	return nil, wrap("read the slots of the cluster", err)
}

// slotsOf asks one server for the slots, and whether it thinks well of the Cluster.
func slotsOf(ctx context.Context, addr string, node rueidis.Client) (ss slots, well bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, slotsTimeout)
	defer cancel()
	answers := node.DoMulti(ctx, node.B().ClusterInfo().Build(), node.B().ClusterSlots().Build())
	info, err := answers[0].ToString()
	if err != nil {
		return nil, false, err
	}
	rows, err := answers[1].ToArray()
	if err != nil {
		return nil, false, err
	}
	for _, row := range rows {
		r, err := slotRangeOf(row, addr)
		if err != nil {
			return nil, false, err
		}
		ss = append(ss, r)
	}
	slices.SortFunc(ss, func(a, b slotRange) int { return cmp.Compare(a.first, b.first) })
	return ss, infoField(info, "cluster_state") == "ok", nil
}

// slotRangeOf reads [first, last, [host, port, …] of the master, …]. Without a host the server has the one that it was asked at.
func slotRangeOf(row rueidis.RedisMessage, asked string) (slotRange, error) {
	parts, err := row.ToArray()
	if err != nil || len(parts) < 3 {
		return slotRange{}, errors.Join(err, errBadSlots)
	}
	first, err1 := parts[0].AsInt64()
	last, err2 := parts[1].AsInt64()
	master, err3 := parts[2].ToArray()
	if err := errors.Join(err1, err2, err3); err != nil || len(master) < 2 {
		return slotRange{}, errors.Join(err, errBadSlots)
	}
	port, err := master[1].AsInt64()
	if err != nil {
		return slotRange{}, errors.Join(err, errBadSlots)
	}
	host, _ := master[0].ToString() // null when the server does not know it
	if host == "" || host == "?" {
		if host, _, err = net.SplitHostPort(asked); err != nil {
			return slotRange{}, err
		}
	}
	return slotRange{int(first), int(last), net.JoinHostPort(host, strconv.FormatInt(port, 10))}, nil
}

var errBadSlots = errors.New("unexpected answer to CLUSTER SLOTS")
