// Package load does many things at once over a fixed number of senders: as fast as they are done, or at a given rate, in
// which case one that begins late counts from when it was to begin. HTTP makes requests over kept-alive connections;
// they are built beforehand and answers are read but not decoded, so that the generator costs little of the machine
// that it shares with what it measures.
package load
