package fault

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/imtier/imtier/e2e/internal/rig"
)

// mostPause is the longest pause before a fault.
const mostPause = 3 * time.Second

// Step is one fault of a plan.
type Step struct {
	Kind   Kind
	Pause  time.Duration // before it
	Length time.Duration
	Node   int    // which one, of those kinds that concern a node
	Dice   uint64 // for what else a kind decides
}

func (s Step) String() string {
	return fmt.Sprintf("%v, then %s for %v (node %d)",
		s.Pause.Round(time.Millisecond), s.Kind.Name, s.Length.Round(time.Millisecond), s.Node+1)
}

// Plan makes a sequence of faults that takes at least as long as total. Equal arguments make equal plans.
func Plan(seed uint64, kinds []Kind, nodes int, total time.Duration) (steps []Step) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for sum := time.Duration(0); sum < total; {
		k := kinds[rng.IntN(len(kinds))]
		s := Step{
			Kind: k, Pause: time.Duration(rng.Int64N(int64(mostPause))),
			Length: k.Least + time.Duration(rng.Int64N(int64(k.Most-k.Least)+1)),
			Node:   rng.IntN(nodes), Dice: rng.Uint64(),
		}
		steps = append(steps, s)
		sum += s.Pause + s.Length
	}
	return steps
}

// Inflict carries out a step: it waits, breaks, waits and repairs.
func (s Step) Inflict(l *rig.Load) {
	wait(s.Pause)
	s.Kind.inflict(l, s)
}

// wait lets a fault last.
func wait(d time.Duration) { <-time.After(d) }
