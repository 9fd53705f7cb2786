// Package proc runs imtier's programs for tests: each is a real process on a fixed address, can be killed, stopped in
// order, frozen and started again, and keeps its log in a file.
//
//	bin, err := proc.Build(dir)               // once per test binary
//	p := proc.New(proc.Options{…})
//	p.Start(); p.Ready(ctx); p.Kill(); p.Start()
//	p.End()                                   // whatever state it is in
package proc
