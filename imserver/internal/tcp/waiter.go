package tcp

// Waiter waits with a Parker.
type Waiter interface {
	// Ready is called when there is something to do. It must not block, nor call the Parker.
	Ready()
}
