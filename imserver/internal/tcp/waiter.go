package tcp

// Waiter waits with a Parker.
type Waiter interface {
	// Waits reports whether somebody still wants to be told. It is called under the Parker's lock.
	Waits() bool
	// Ready is called when there is something to do. All others wait until it returns; it may wait again.
	Ready()
}
