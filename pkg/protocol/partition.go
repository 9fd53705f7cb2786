package protocol

import (
	"strconv"
	"strings"
)

const (
	// DefaultPartitions is how many partitions the address space has unless set otherwise.
	DefaultPartitions = 256
	// MaxPartitions is bounded by the 16384 slots of a Redis Cluster: every partition has slots of its own.
	MaxPartitions = 4096

	slots = 16384

	// FNV-1a's, 64 bits.
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// Partition maps an address (a clientId or a group) to one of n partitions: FNV-1a, 64 bits, folded. The
// function is part of the stored data's format and never changes.
func Partition(addr string, n int) int {
	v := uint64(fnvOffset)
	for i := range len(addr) { // hash/fnv would allocate, and this is called several times for every message
		v = (v ^ uint64(addr[i])) * fnvPrime
	}
	v ^= v >> 32
	return int(v % uint64(n))
}

// Tags returns the Redis Cluster hash tag of each of n partitions. Plain numbers as tags would spread unevenly
// over the slots; here the tag of partition p is the smallest number whose slot falls into the p-th of n equal
// parts of the slot range, so consecutive partitions cover the cluster evenly.
func Tags(n int) []string {
	tags := make([]string, n)
	for i, left := 0, n; left > 0; i++ {
		tag := strconv.Itoa(i)
		p := int(crc16(tag)) % slots * n / slots
		if tags[p] == "" {
			tags[p] = tag
			left--
		}
	}
	return tags
}

// Slot returns the slot of a Redis Cluster that a key or a channel lies in: that of what stands between its first { and the
// next }, if there is anything, else of the whole.
func Slot(name string) int {
	if _, rest, ok := strings.Cut(name, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			name = tag
		}
	}
	return int(crc16(name)) % slots
}

// crc16 is CRC-16/XMODEM, polynomial 0x1021, as the Redis Cluster specification prescribes for key slots.
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
