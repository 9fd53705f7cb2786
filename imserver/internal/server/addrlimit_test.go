package server

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestAddressesAreLimitedOneByOne(t *testing.T) {
	const rate = 5
	now := time.Now()
	l := newAddrLimit(rate)
	one, two := addr("192.0.2.1"), addr("192.0.2.2")
	for i := range addrBurst * rate {
		if !l.take(one, now) {
			t.Fatalf("connect %d of the burst is refused", i)
		}
	}
	if l.take(one, now) {
		t.Error("one more than the burst is let in")
	}
	if !l.take(two, now) {
		t.Error("another address pays for it")
	}
	in := 0
	for range 1000 { // ten times as fast as it may
		now = now.Add(time.Second / rate / 10)
		if l.take(one, now) {
			in++
		}
	}
	if in < 99 || in > 101 {
		t.Errorf("%d were let in in 20 s, want %d", in, 20*rate)
	}
	if !newAddrLimit(0).take(one, now) || !l.take(netip.Addr{}, now) {
		t.Error("no limit refuses")
	}
}

func TestIPv6NetworksShareALimit(t *testing.T) {
	now := time.Now()
	l := newAddrLimit(1)
	for _, a := range []string{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2"} {
		if !l.take(addr(a), now) {
			t.Errorf("%s is refused within the burst", a)
		}
	}
	if l.take(addr("2001:db8:0:1::3"), now) {
		t.Error("a third address of the network is let in")
	}
	if !l.take(addr("2001:db8:0:2::1"), now) {
		t.Error("another network pays for it")
	}
}

// Addresses are forgotten: by time, and all at once before they fill the memory.
func TestAddressesAreForgotten(t *testing.T) {
	now := time.Now()
	l := newAddrLimit(1)
	many := func(from, n int) {
		for i := range n {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], uint32(from+i))
			l.take(netip.AddrFrom4(b), now)
		}
	}
	many(0, 1000)
	now = now.Add(2 * addrBurst * time.Second)
	many(1<<20, 1)
	if n := len(l.until); n != 1 {
		t.Errorf("%d addresses are kept after their time", n)
	}
	many(0, maxAddrs+10)
	if n := len(l.until); n > maxAddrs {
		t.Errorf("%d addresses are kept", n)
	}
}
