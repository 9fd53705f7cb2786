package server

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// addrBurst is how many seconds' worth of connects an address may make at once.
	addrBurst = 2
	// addrSweep is how often addresses are forgotten that have not connected for a while.
	addrSweep = time.Second
	// maxAddrs bounds the memory, to some 8 MB. More addresses than this within addrBurst seconds are more handshakes
	// than a node answers; if it happens all start anew, which is better than to refuse who did nothing.
	maxAddrs = 1 << 17
	// IPv6 addresses are limited by the network that a customer is given whole.
	ipv6Network = 64
)

// addrLimit bounds the handshakes per second of one address. It keeps one number for each: when the address will have
// used up what it did so far (the generic cell rate algorithm). Who waits longer is forgotten.
type addrLimit struct {
	rate int // per second; 0 does not limit

	mu    sync.Mutex
	until map[netip.Addr]time.Time
	swept time.Time
}

func newAddrLimit(rate int) *addrLimit {
	return &addrLimit{rate: rate, until: make(map[netip.Addr]time.Time)}
}

// take counts a handshake and reports whether it is within the limit. One that is not costs nothing, so that an address
// that goes on too fast gets through at the rate all the same.
func (l *addrLimit) take(a netip.Addr, now time.Time) bool {
	if l.rate == 0 || !a.IsValid() {
		return true
	}
	if a.Is6() {
		if network, err := a.Prefix(ipv6Network); err == nil {
			a = network.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	until := l.until[a]
	if until.Before(now) {
		until = now
	}
	until = until.Add(time.Second / time.Duration(l.rate))
	if until.Sub(now) > addrBurst*time.Second {
		return false
	}
	l.until[a] = until
	return true
}

// sweep forgets addresses that have nothing left to work off. The caller holds mu.
func (l *addrLimit) sweep(now time.Time) {
	if len(l.until) >= maxAddrs && now.Sub(l.swept) < addrSweep {
		clear(l.until)
		return
	}
	if now.Sub(l.swept) < addrSweep {
		return
	}
	l.swept = now
	for a, until := range l.until {
		if until.Before(now) {
			delete(l.until, a)
		}
	}
}
