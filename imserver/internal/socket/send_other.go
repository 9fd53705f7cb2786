//go:build !linux

package socket

import "syscall"

// sendNow has the kernel take of p what there is room for, and returns at once. The caller sees to it that the descriptor is
// open and non-blocking.
func sendNow(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
