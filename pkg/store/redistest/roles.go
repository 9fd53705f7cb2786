package redistest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// member is a server as another one of its Cluster sees it.
type member struct {
	id, addr  string
	replicaOf string // id; empty of a master
	slots     string
	epoch     string // how new its claim to them is
	well      bool   // it answers, and all agree that it is one of them
}

// members reads CLUSTER NODES, ordered by address; nil if the server does not answer.
func members(s *Server) (all []member) {
	text, err := roundTrip(s.Addr, "CLUSTER", "NODES")
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		addr, _, _ := strings.Cut(f[1], "@")
		flags := strings.Split(f[2], ",")
		m := member{id: f[0], addr: addr, epoch: f[6], well: f[7] == "connected"}
		if f[3] != "-" {
			m.replicaOf = f[3]
		}
		for _, flag := range flags {
			m.well = m.well && !strings.Contains(flag, "fail") && flag != "handshake" && flag != "noaddr"
		}
		// A slot that moves is in brackets, and only in the eyes of those who move it.
		m.slots = strings.Join(slices.DeleteFunc(f[8:], func(r string) bool { return r[0] == '[' }), " ")
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.addr, b.addr) })
	return all
}

// slotRange is consecutive slots.
type slotRange struct{ first, last int }

// ranges are the member's slots.
func (m member) ranges() (all []slotRange) {
	for _, text := range strings.Fields(m.slots) {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil {
			all = append(all, slotRange{from, to})
		}
	}
	return all
}

// Settled waits until all servers, which have to run, agree on who is who, take commands, and every replica has copied its master.
// Masters and Replicas are then what they have become, in no order.
func (c *Cluster) Settled(t testing.TB) {
	t.Helper()
	servers := c.Servers()
	var view []member
	await(t, "all servers of the cluster agree", func() bool {
		view = members(servers[0])
		return len(view) == len(servers) && !slices.ContainsFunc(view, func(m member) bool { return !m.well }) &&
			!slices.ContainsFunc(servers, func(s *Server) bool { return !slices.Equal(members(s), view) || !covers(s) })
	})
	c.Masters, c.Replicas = nil, nil
	for _, m := range view {
		s := servers[slices.IndexFunc(servers, func(s *Server) bool { return s.Addr == m.addr })]
		if m.replicaOf == "" {
			c.Masters = append(c.Masters, s)
			continue
		}
		c.Replicas = append(c.Replicas, s)
		await(t, "a replica has copied its master", func() bool { return strings.Contains(replication(s), "master_link_status:up") })
	}
}

// covers tells whether a server takes commands.
func covers(s *Server) bool {
	info, err := roundTrip(s.Addr, "CLUSTER", "INFO")
	return err == nil && strings.Contains(info, "cluster_state:ok\r\n")
}

// ReplicaOf is a replica of a master, which has one and runs.
func (c *Cluster) ReplicaOf(t testing.TB, master *Server) *Server {
	t.Helper()
	view := members(master)
	me := slices.IndexFunc(view, func(m member) bool { return m.addr == master.Addr })
	for _, m := range view {
		if me >= 0 && m.replicaOf == view[me].id {
			return c.at(t, m.addr)
		}
	}
	t.Fatalf("%s has no replica", master.Addr)
	return nil
}

// Replaced waits until others have all slots of a server, which does not answer, or is about to become a replica.
func (c *Cluster) Replaced(t testing.TB, was *Server) {
	t.Helper()
	for _, s := range c.Servers() {
		if s == was {
			continue
		}
		await(t, "another server has the place of one that was a master", func() bool {
			view := members(s)
			i := slices.IndexFunc(view, func(m member) bool { return m.addr == was.Addr })
			return i >= 0 && view[i].slots == "" && covers(s)
		})
	}
}
