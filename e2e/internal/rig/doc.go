// Package rig puts a whole installation together for a test: a real redis-server, imservers and a webapi (each
// behind a proxy of its own to Redis), all real processes on an address of the loopback network that no other rig uses, so that
// they come back on the same ports after they were killed.
//
//	r := rig.Start(t, bin, rig.Options{Nodes: 2})
//	url, err := r.API.Connect(ctx, …)
//	r.Nodes[0].Kill()
//
// When the test ends everything ends, and the logs of all programs are searched for secrets, panics and data races.
package rig
