package hub

import (
	"testing"
	"unsafe"
)

// Every idle connection costs this; 288 is a size that Go allocates, and the next is 320.
func TestConnStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 288 {
		t.Errorf("a connection has %d bytes", size)
	}
}
