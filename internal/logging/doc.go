// Package logging makes the one logger of a program: JSON lines for machines,
// a readable form when a person watches the terminal. Only main calls it; the
// logger is handed on, never global.
package logging
