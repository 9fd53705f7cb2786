// Package registry keeps in Redis what others must know about this node: its lease, and which connections have
// gone. Both go on trying while Redis is away; a node whose lease ran out
// takes it again and compares, and one that others have claimed registers everything under another name.
package registry
