package measure

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The machine's other processes fill and empty sockets meanwhile, so one look may show anything, also less than before:
// what is kept from being read has to show once.
func TestSocketBytesSeesWhatNobodyReads(t *testing.T) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		sent, grown := stuff(t)
		if sent > 256<<10 && grown >= sent/4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are on their way, memory grew by %d", sent, grown)
		}
	}
}

// stuff sends until nothing fits, to a peer that does not read.
func stuff(t *testing.T) (sent, grown int64) {
	t.Helper()
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
	if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, _ := c.Write(make([]byte, 4<<20)) // until nothing fits
	after, err := SocketBytes()
	if err != nil {
		t.Fatal(err)
	}
	return int64(n), after - before
}

func TestSocketMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sockstat")
	if err := os.WriteFile(path, []byte("sockets: used 7\nTCP: inuse 5 orphan 0 tw 0 alloc 9 mem 3\nUDP: inuse 0 mem 8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := socketMemory(path); err != nil || got != 3*kernelPage {
		t.Errorf("socketMemory = %d, %v; want %d", got, err, 3*kernelPage)
	}
	if err := os.WriteFile(path, []byte("sockets: used 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socketMemory(path); err == nil {
		t.Error("a file without TCP's memory was taken")
	}
}
