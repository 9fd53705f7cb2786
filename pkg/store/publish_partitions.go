package store

// partition is a partition in one round: what holds for all of its jobs.
type partition struct {
	p    int
	life *life // read once: another goroutine may learn a fence meanwhile
	call *appending
}

// partitions are those of a round. There are no more than jobs, at most maxPipeline: so few are found faster in a list than
// in a map.
type partitions []partition

// of returns the entry of a partition, which is new if there was none; it is valid until the next call.
func (ps *partitions) of(p int, l *lives) *partition {
	for i := range *ps {
		if (*ps)[i].p == p {
			return &(*ps)[i]
		}
	}
	*ps = append(*ps, partition{p: p, life: l.of(p)})
	return &(*ps)[len(*ps)-1]
}
