package dev

import (
	"crypto/rand"
	"encoding/base64"
	"net"
	"time"

	"github.com/imtier/imtier/imserver"
	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/webapi"
)

// APIKey is the key that the development webapi takes. It is printed; use it nowhere else.
const APIKey = "dev-key"

// partitions are few: the embedded Redis runs scripts slowly, and sweeping a partition is a script a second.
const partitions = "16"

// drainTimeout is short: whoever presses Ctrl-C wants to go on.
const drainTimeout = 2 * time.Second

// Config is what imdev is told. Everything else is as in the two programs' defaults.
type Config struct {
	WebListen  string
	NodeListen string
	WebAdmin   string
	NodeAdmin  string
	PublicURL  string // empty: NodeListen's
	LogLevel   string
}

// Register puts the settings into s.
func (c *Config) Register(s *settings.Set) {
	s.Listen(&c.WebListen, "web-listen", "127.0.0.1:8080", "address of webapi and the chat page")
	s.Listen(&c.NodeListen, "node-listen", "127.0.0.1:6001", "address of imserver")
	s.Listen(&c.WebAdmin, "web-admin-listen", "127.0.0.1:0", "webapi's address for operators; port 0 takes a free one")
	s.Listen(&c.NodeAdmin, "node-admin-listen", "127.0.0.1:0", "imserver's address for operators; port 0 takes a free one")
	s.String(&c.PublicURL, "public-url", "", "the URL that clients on other machines dial to reach imserver, such as ws://192.168.1.5:6001/ws")
	s.String(&c.LogLevel, "log-level", "warn", "least level that is logged", settings.OneOf("debug", "info", "warn", "error"))
}

// common is what both programs share: their defaults, an embedded Redis and a signing key that dies with the
// process.
func (c *Config) common(redisURL string) (settings.Common, error) {
	var key [32]byte
	rand.Read(key[:])
	var common settings.Common
	set := settings.New("imdev")
	common.Register(set, nil)
	err := set.Parse([]string{
		"--redis-url=" + redisURL, "--partitions=" + partitions,
		"--signing-keys=dev:" + base64.StdEncoding.EncodeToString(key[:]),
		"--log-level=" + c.LogLevel,
	}, nil)
	return common, err
}

// web is webapi's configuration.
func (c *Config) web(common settings.Common) webapi.Config {
	return webapi.Config{
		Common: common, Listen: c.WebListen, AdminListen: c.WebAdmin, APIKeys: []string{APIKey},
		AllowGuests: true, FreeIM: true, Demo: true, Embedded: true,
	}
}

// node is imserver's configuration; pages of webapi may connect to it under both names of this host.
func (c *Config) node(common settings.Common, webAddr string) (imserver.Config, error) {
	_, port, err := net.SplitHostPort(webAddr)
	if err != nil {
		return imserver.Config{}, err
	}
	cfg := imserver.Config{Listen: c.NodeListen}
	set := settings.New("imdev")
	cfg.Register(set)
	err = set.Parse([]string{
		"--redis-url=" + common.RedisURL, "--partitions=" + partitions, "--signing-keys=" + common.SigningKeys, "--log-level=" + c.LogLevel,
		"--listen=" + c.NodeListen, "--admin-listen=" + c.NodeAdmin, "--node-id=dev",
		"--public-url=" + c.PublicURL,
		"--drain-timeout=" + drainTimeout.String(),
		"--allowed-origins=http://127.0.0.1:" + port + ",http://localhost:" + port,
	}, nil)
	cfg.Embedded = true
	return cfg, err
}
