package socket

import (
	"testing"
	"unsafe"
)

// Every idle connection costs this. 256 is a size that Go allocates and whole cache lines; the next that is so is 320.
func TestSocketStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(Socket{}); size > 256 {
		t.Errorf("a socket has %d bytes", size)
	}
	if end := unsafe.Offsetof(outbox{}.kept); end > 32 {
		t.Errorf("what each delivery reads is %d bytes", end)
	}
}
