package socket

import (
	"testing"
	"unsafe"
)

// Every idle connection costs this. 192 is a size that Go allocates and whole cache lines; the next that is so is 256.
func TestSocketStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(Socket{}); size > 192 {
		t.Errorf("a socket has %d bytes", size)
	}
	if end := unsafe.Offsetof(outbox{}.kept); end > 32 {
		t.Errorf("what each delivery reads is %d bytes", end)
	}
}
