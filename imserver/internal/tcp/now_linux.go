package tcp

import (
	"io"
	"syscall"
	"unsafe"
)

// SendNow has the kernel take of p what there is room for, and returns at once. The caller sees to it that the descriptor is
// open and a non-blocking socket.
//
// It is a bare system call. net's way of writing looks at three more objects, which for most connections are in no cache,
// and tells Go's scheduler of each call: that is for calls that may wait. send(2) is what write(2) becomes for a socket,
// without the layer for files before it.
func SendNow(fd int, p []byte) (int, error) {
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

// RecvNow takes what the kernel has, and returns at once: 0 when that is nothing, io.EOF when nothing more will come. The
// caller sees to it that the descriptor is open. It is a bare system call for the same reasons.
func RecvNow(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			syscall.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0 && n == 0 && len(p) > 0:
			return 0, io.EOF
		case errno == 0:
			return int(n), nil
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}
