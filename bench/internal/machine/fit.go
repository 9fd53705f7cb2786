package machine

import (
	"fmt"
	"math/bits"

	"github.com/imtier/imtier/bench/internal/measure"
)

// Size is how much is to run: every node is one imserver, and one process for its clients.
type Size struct{ Nodes, PerNode int }

// Connections is how many there are.
func (s Size) Connections() int { return s.Nodes * s.PerNode }

// What things cost, by measurement on 64-bit Linux.
const (
	// connBytes: 8 KB of an imserver, two sockets in the kernel of 4 KB each, 1 KB in Redis and less in the client.
	connBytes = 18_000
	// nodeBytes is an imserver and a client process without connections.
	nodeBytes = 35 << 20
	// otherBytes is for Redis, webapi and imbench without connections.
	otherBytes = 200 << 20
	// memoryShare is how much of the available memory may be used.
	memoryShare = 0.95
	// ownFiles is how many descriptors a process has beside its connections; an imserver reserves 200.
	ownFiles = 300
	// nodeProcesses is how many threads an imserver and a client process have together.
	nodeProcesses = 60
	// ownProcesses is for everything else on the machine.
	ownProcesses = 1000
	// busySourcePorts is which share of a source's ports may be in use with one server. The kernel looks for a free one
	// among the odd ones or among the even ones first; long before they are all in use that takes it longer than the rest
	// of connecting.
	busySourcePorts = 4 // a fourth
	// sourceLimit is how many addresses one plan may use.
	sourceLimit = 250
	// maxPerPlace is how many sockets may share a place in the kernel's table: beyond it, finding one takes a noticeable part of a
	// delivery.
	maxPerPlace = 2
	// MinNodes is the least number of nodes: one is killed, and its clients go elsewhere.
	MinNodes = 2
	// bufferBytes is what a socket holds for a message that its client has not read yet, in whole pages.
	bufferBytes = 4 << 10
)

// Fit returns the largest size not beyond want that the machine can hold, and says of each limit that was in the way what
// there is and what would be needed. When nothing is in the way it says nothing.
func Fit(want Size, m Machine) (Size, []string) {
	var advice []string
	got := want
	within := func(fits func(Size) bool, smaller func(*Size), say string, args ...any) {
		if fits(got) {
			return
		}
		for !fits(got) && got.PerNode > 0 {
			smaller(&got)
		}
		advice = append(advice, fmt.Sprintf(say, args...))
	}
	lessPerNode := func(s *Size) { s.PerNode-- }
	lessNodes := func(s *Size) {
		if s.Nodes > MinNodes {
			s.Nodes--
		} else {
			s.PerNode--
		}
	}
	within(func(s Size) bool { return files(s) <= m.Files }, lessPerNode,
		"a process may open %d files, %d are needed: raise ulimit -n", m.Files, files(want))
	within(func(s Size) bool { return s.PerNode <= sourceLimit*m.Ports/busySourcePorts }, lessPerNode,
		"an address has %d ports: widen net.ipv4.ip_local_port_range", m.Ports)
	within(func(s Size) bool { return memory(s) <= int64(memoryShare*float64(m.Memory)) }, lessNodes,
		"%s of memory are available, about %s are needed", measure.GB(m.Memory), measure.GB(memory(want)))
	within(func(s Size) bool { return 2*s.Connections()+s.Nodes*ownFiles <= m.AllFiles }, lessNodes,
		"all processes together may open %d more files, %d are needed: raise fs.file-max", m.AllFiles, 2*want.Connections()+want.Nodes*ownFiles)
	within(func(s Size) bool { return 2*s.Connections() <= m.Watches }, lessNodes,
		"epoll may watch %d descriptors, %d are needed: raise fs.epoll.max_user_watches", m.Watches, 2*want.Connections())
	within(func(s Size) bool { return s.Connections() <= m.Tracked }, lessNodes,
		"the firewall can remember %d more connections, %d are needed: raise net.netfilter.nf_conntrack_max, or do not track the loopback interface",
		m.Tracked, want.Connections())
	within(func(s Size) bool { return ownProcesses+s.Nodes*nodeProcesses <= m.Processes }, lessNodes,
		"there can be %d processes and threads, about %d are needed: raise kernel.pid_max, kernel.threads-max and ulimit -u",
		m.Processes, ownProcesses+want.Nodes*nodeProcesses)
	return got, advice
}

// files is how many descriptors the fullest process needs when the clients of one node have gone to the others.
func files(s Size) int { return s.PerNode + (s.PerNode+s.Nodes-2)/(s.Nodes-1) + ownFiles }

func memory(s Size) int64 {
	return int64(s.Connections())*connBytes + int64(s.Nodes)*nodeBytes + otherBytes
}

// Warnings tells of limits that do not make a size impossible, and may make it slow.
func Warnings(s Size, m Machine) []string {
	var out []string
	if need := int64(s.Connections()) * bufferBytes; need > m.Buffers {
		out = append(out, fmt.Sprintf("TCP may hold %s, and a message that lies unread on all connections at once takes %s: raise net.ipv4.tcp_mem",
			measure.GB(m.Buffers), measure.GB(need)))
	}
	if sockets := 2 * s.Connections(); sockets/maxPerPlace > m.Places {
		out = append(out, fmt.Sprintf("the kernel looks for each packet's connection among %d others: its table has %d places for %d sockets; "+
			"boot with thash_entries=%d, or run by scripts/own-table",
			sockets/m.Places, m.Places, sockets, 1<<bits.Len(uint(sockets-1))))
	}
	return out
}

// Sources are loopback addresses from which so many connections to one server come, so that no address runs out of ports.
// Few connections need none: they may come from where the kernel likes.
func Sources(connections, ports int) []string {
	each := max(1, ports/busySourcePorts)
	if connections <= each {
		return nil
	}
	out := make([]string, (connections+each-1)/each)
	for i := range out {
		out[i] = fmt.Sprintf("127.0.1.%d", 1+i)
	}
	return out
}
