// Package scenario is what imbench can do, one file for each subcommand: it starts the processes, opens the
// connections, measures, and returns a report.Result. What several subcommands share:
//
//	stage    the processes of one benchmark
//	account  who spends how much processor time, and what Redis does
//	contest  rounds of one message to many clients, in turn with a bare loop
package scenario
