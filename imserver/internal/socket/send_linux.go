package socket

import (
	"syscall"
	"unsafe"
)

// sendNow has the kernel take of p what there is room for, and returns at once. The caller sees to it that the descriptor is
// open and a non-blocking socket.
//
// It is a bare system call. net's way of writing looks at three more objects, which for most connections are in no cache,
// and tells Go's scheduler of each call: that is for calls that may wait. send(2) is what write(2) becomes for a socket,
// without the layer for files before it.
func sendNow(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}
