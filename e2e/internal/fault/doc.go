// Package fault breaks an installation under load: each Kind is one way, a Plan a random sequence of them that a seed
// reproduces.
//
//	for _, step := range fault.Plan(seed, fault.Kinds(), nodes, time.Minute) { step.Inflict(load) }
//
// A Kind inflicts its fault, keeps it up for the step's length, and repairs it before it returns.
package fault
