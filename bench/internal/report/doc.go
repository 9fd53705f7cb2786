// Package report is what benchmarks say: a Result for each, with rows, latencies, costs and series; printed as a
// table for people, written as JSON for programs, summed up against the goals in one table, and a line of progress
// while they work.
package report
