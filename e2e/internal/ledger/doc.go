// Package ledger writes down what publishers did and what clients saw, so that package check can compare the two.
//
// A Publisher has one Send per attempt, a Client one Entry per frame that matters, in the order in which they came. Both
// may be written to by many goroutines and saved as JSON lines.
package ledger
