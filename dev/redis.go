package dev

import (
	"fmt"
	"net"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// startRedis runs an embedded Redis on a free port of this host, which backends on this host may use as well. Its keys expire
// by the clock.
func startRedis() (url string, stop func(), err error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", "0")); err != nil {
		return "", nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	m.Server().SetPreHook(likeRedis)
	return "redis://" + m.Addr(), m.Close, nil
}

// likeRedis answers what backends ask when they connect, who know nothing of an embedded Redis: that it is of a version that
// imtier works with, no cluster, and speaks RESP2, in which miniredis is at home. It returns true for what it answered.
func likeRedis(c *server.Peer, cmd string, args ...string) bool {
	first := ""
	if len(args) > 0 {
		first = strings.ToUpper(args[0])
	}
	switch cmd = strings.ToUpper(cmd); {
	case cmd == "INFO" && first == "SERVER":
		c.WriteBulk("# Server\r\nredis_version:7.0.0\r\n")
	case cmd == "CLUSTER":
		c.WriteError("ERR This instance has cluster support disabled")
	case cmd == "HELLO":
		c.WriteError("ERR unknown command 'HELLO'")
	case cmd == "CLIENT" && first == "SETINFO":
		c.WriteOK()
	default:
		return false
	}
	return true
}
