// Package imserver is the program that holds sockets: it lets clients in by the URLs that webapi issued,
// subscribes to the Redis channels of the partitions they are in, and passes messages on. It has no business
// logic and no state that Redis does not have, so any of its processes may end at any time.
//
//	cmd/imserver   settings, signals, exit code
//	imserver       the wiring, and the order of starting and stopping
//	internal/server    HTTP: who may come in
//	internal/bus       Redis → hub
//	internal/hub       streams, followers, fan-out, catch-up
//	internal/socket    one WebSocket connection
//	internal/registry  the node's lease and the sign-off of connections
//	internal/metrics   names of metrics
package imserver
