//go:build !linux

package socket

// Parker is not made here: each silent connection keeps a goroutine that waits in its read.
type Parker struct{}

// NewParker returns no Parker.
func NewParker() (*Parker, error) { return nil, nil }

// Run returns.
func (p *Parker) Run() {}

// Close does nothing.
func (p *Parker) Close() {}

func (p *Parker) arm(*Socket) error { return nil }

func (p *Parker) forget(*Socket) {}
