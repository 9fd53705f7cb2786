package dev

import (
	"fmt"
	"net"

	"github.com/alicebob/miniredis/v2"
)

// startRedis runs an embedded Redis on a free port of this host. Its keys expire by the clock.
func startRedis() (url string, stop func(), err error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", "0")); err != nil {
		return "", nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	return "redis://" + m.Addr(), m.Close, nil
}
