//go:build !linux

package tcp

// Parker is not made here: each silent connection keeps a goroutine that waits in its read.
type Parker struct{}

// NewParker returns no Parker.
func NewParker() (*Parker, error) { return nil, nil }

// Run returns.
func (p *Parker) Run() {}

// Close does nothing.
func (p *Parker) Close() {}

// Park does nothing.
func (p *Parker) Park(int, Waiter) error { return nil }

// Forget does nothing.
func (p *Parker) Forget(int, Waiter) {}
