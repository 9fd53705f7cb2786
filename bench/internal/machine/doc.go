// Package machine knows how many connections this machine can hold, and what an operator has to change for more.
//
//	Read   the limits of descriptors, ports, memory and processes, as they are
//	Fit    the largest size within them, and a line for each limit that was in the way
package machine
