// Package protocol holds the vocabulary that every part of imtier shares: names of streams, positions in them,
// the envelope a message travels in, the frames a client sees, close codes and limits. It is pure: no I/O, no
// goroutines, no clocks but the one that NewID reads.
//
// Three encodings live here, from the inside out:
//
//	Envelope  one message as it is stored in a Redis stream          (envelope.go)
//	Push      what a partition channel carries: where, and which     (push.go)
//	frames    JSON objects of the imtier.v1 sub-protocol             (server_frames.go, client_frames.go)
//
// A message is encoded once by its publisher into an Envelope, put into a Push by the publish script, and turned
// into a frame once per imserver and stream.
package protocol
