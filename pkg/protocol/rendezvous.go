package protocol

import "hash/fnv"

// Rank is how much a process wants a partition, in rendezvous hashing: of several processes the one with the highest
// rank has it, so when one comes or goes only the partitions that it wins or won change hands. FNV-1a over the name
// and the partition, finished by the mixer of SplitMix64: FNV's last bytes hardly reach the upper bits, by which ranks
// are compared, and one process would get nearly everything.
func Rank(name string, partition int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash.Hash never fails
	h.Write([]byte{0, byte(partition >> 8), byte(partition)})
	v := h.Sum64()
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
