// Package registry keeps in Redis what others must know about this node: its lease, and which connections have
// gone. Both go on trying while Redis is away; a node that finds its lease gone registers everything again.
package registry
