// Package e2e tests imtier as it is run: real programs, a real redis-server, nothing replaced. The tests of the pages in a
// browser are in browser/.
//
//	internal/proc    runs the programs          internal/ledger  what publishers did and clients saw
//	internal/proxy   a network that misbehaves  internal/check   compares the two
//	internal/api     calls webapi               internal/fault   what is broken, and when
//	internal/client  speaks the protocol        internal/rig     a whole installation, under load
//
// The environment variables RIG_… are described in docs/faults.md.
package e2e
