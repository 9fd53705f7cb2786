// Package measure turns observations into numbers: memory of a process as the kernel counts it, quantiles, and
// tables of text.
package measure
