package measure

import (
	"net"
	"testing"
	"time"
)

func TestSocketBytesSeesWhatNobodyReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before, err := SocketBytes()
	if err != nil {
		t.Fatal(err)
	}
	c.SetWriteDeadline(time.Now().Add(time.Second))
	n, _ := c.Write(make([]byte, 4<<20)) // until nothing fits
	after, err := SocketBytes()
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < int64(n)/4 { // others come and go meanwhile
		t.Errorf("%d bytes are on their way, memory grew by %d", n, grown)
	}
}
