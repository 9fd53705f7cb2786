// Package proxy is a TCP proxy that misbehaves on demand. It stands between a program and Redis and can fall silent as a
// network does that loses every packet, reset connections and refuse new ones, or delay what passes.
package proxy
