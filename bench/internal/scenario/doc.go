// Package scenario is what imbench can do, one file for each subcommand: it starts the processes, opens the
// connections, measures, prints a table, and says whether the numbers are within the limits.
package scenario
