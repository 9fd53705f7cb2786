// Package dev runs a whole installation in one process on an embedded Redis: webapi with the chat page, and one
// imserver. It is what `make run` starts. Nothing is kept when it ends.
package dev
