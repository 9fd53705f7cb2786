// Package load makes HTTP requests as fast as they are answered: a fixed number of kept-alive connections, each with
// one request under way. Requests are built beforehand and answers are read but not decoded, so that the generator
// costs little of the machine that it shares with what it measures.
package load
