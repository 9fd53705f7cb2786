// Package check decides from the ledgers of a run whether imtier kept its promises:
//
//   - no silent loss: what was sent with success reached everybody addressed who is connected in the end, or they were told
//     (gap, recovered:false) before any later message of that stream;
//   - no false alarm: nobody was told so when nothing can be missing;
//   - order: positions rise in each stream of a connection, and sends awaited one after the other keep their order;
//   - once: no message twice, but for a repetition after a reconnect that positions explain;
//   - no ghost: a send that failed appears at most once, a retried id never twice;
//   - isolation: nothing reaches anybody who was not addressed.
//
// A position stands for one message only, whoever sees it. Compare is a pure function of the ledgers; Leaks compares what a
// node holds before and after.
package check
