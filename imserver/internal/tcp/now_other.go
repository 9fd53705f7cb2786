//go:build !linux

package tcp

import (
	"io"
	"syscall"
)

// SendNow has the kernel take of p what there is room for, and returns at once. The caller sees to it that the descriptor is
// open and non-blocking.
func SendNow(fd int, p []byte) (int, error) {
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

// RecvNow takes what the kernel has, and returns at once: 0 when that is nothing, io.EOF when nothing more will come. The
// caller sees to it that the descriptor is open and non-blocking.
func RecvNow(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		switch {
		case err == nil && n == 0 && len(p) > 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
