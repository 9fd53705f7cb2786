package hub

import (
	"testing"
	"unsafe"
)

// Every idle connection costs this; 320 is a size that Go allocates, and the next is 352.
func TestConnStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 320 {
		t.Errorf("a connection has %d bytes", size)
	}
}
