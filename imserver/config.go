package imserver

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/imtier/imtier/imserver/internal/server"
	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
	"github.com/imtier/imtier/pkg/ticket"
)

// Config is what an imserver is told. The zero value is not usable: see Register for the defaults.
type Config struct {
	settings.Common
	Listen         string
	AdminListen    string
	PublicURL      string // empty: the address of the listener, see publicURL
	NodeID         string // empty: generated
	PingInterval   time.Duration
	PongTimeout    time.Duration
	OfflineGrace   time.Duration
	DevicePolicy   store.DevicePolicy
	DrainTimeout   time.Duration
	OutboxSize     int            // bytes kept for a peer that does not read
	MaxConns       int            // 0: what the limit of open files allows
	TrustedProxies server.Proxies // whose X-Forwarded-For counts
	AddrRate       int            // connects per second of one IP address; 0: any number
	ClientRate     int            // connects per second of one client, on all nodes; 0: any number
	InboundFrames  int            // frames per second that a client may send; 0: any number
	InboundBytes   int            // bytes per second that a client may send; 0: any number
	Embedded       bool           // Redis runs in this process; for development
}

// reservedFiles is how many descriptors are kept for everything but clients.
const reservedFiles = 200

// Register puts the settings into s.
func (c *Config) Register(s *settings.Set) {
	c.Common.Register(s, func(text string) error { _, err := ticket.ParseKeys(text); return err })
	s.Listen(&c.Listen, "listen", ":6001", "public address, for clients")
	RegisterAdmin(s, &c.AdminListen)
	s.String(&c.PublicURL, "public-url", "", "the URL that clients dial to reach this node; unless given ws://<address of --listen>/ws, with 127.0.0.1 (for clients on this host) for all interfaces",
		settings.Check(checkPublicURL))
	s.String(&c.NodeID, "node-id", "", "this node's name in the registry, the host's unless given; each run adds a random part", settings.Check(checkNodeID))
	s.Duration(&c.PingInterval, "ping-interval", 25*time.Second, "how often a quiet client is pinged",
		settings.Within(time.Second, 10*time.Minute))
	s.Duration(&c.PongTimeout, "pong-timeout", 10*time.Second, "how long it may take to answer",
		settings.Within(time.Second, 10*time.Minute))
	s.Duration(&c.OfflineGrace, "offline-grace", 5*time.Second, "how long after its last connection a client counts as online",
		settings.Within(0, 10*time.Minute))
	settings.Custom(s, &c.DevicePolicy, "device-policy", "any", "any, one, one-per-device or max:N", store.ParseDevicePolicy)
	s.Duration(&c.DrainTimeout, "drain-timeout", 30*time.Second, "time to hand all connections over when stopping",
		settings.Within(0, time.Hour))
	s.Bytes(&c.OutboxSize, "outbox-size", 256<<10, "bytes kept for a client that reads slowly",
		settings.Between(16<<10, 64<<20))
	s.Int(&c.MaxConns, "max-connections", 0, "connections at once; 0 is what the limit of open files allows",
		settings.Between(0, 10_000_000))
	settings.Custom(s, &c.TrustedProxies, "trusted-proxies", "",
		"addresses and networks of proxies whose X-Forwarded-For says where a client is, such as 10.0.0.0/8; nobody's unless given",
		server.ParseProxies)
	s.Int(&c.AddrRate, "connect-rate-per-ip", 0, "connects per second from one IP address (IPv6: /64) to this node; 0 does not limit",
		settings.Between(0, maxRate))
	s.Int(&c.ClientRate, "connect-rate-per-client", 100, "connects per second of one client to all nodes; 0 does not limit",
		settings.Between(0, maxRate))
	s.Int(&c.InboundFrames, "inbound-frames", 50, "frames per second that a client may send, six times as many at once; 0 does not limit",
		settings.Between(0, maxRate))
	s.Bytes(&c.InboundBytes, "inbound-bytes", 200<<10, "bytes per second that a client may send, six times as many at once; 0 does not limit",
		settings.Between(0, 1<<30))
}

// maxRate is far beyond what a node can do; it keeps computing with rates exact.
const maxRate = 1_000_000

// RegisterAdmin puts the address of the admin listener into s; a health check needs no more.
func RegisterAdmin(s *settings.Set, addr *string) {
	s.Listen(addr, "admin-listen", "127.0.0.1:6061", "address for operators; never public")
}

func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("want ws://host[:port]/ws, or wss:// behind TLS, without a query")
	}
	return nil
}

func checkNodeID(text string) error {
	if text == "" {
		return nil
	}
	return protocol.CheckDevice(text) // 1–64 bytes without control characters, as for devices
}

// incarnation is the node's name with a part that differs between two runs, so that what a killed process left
// behind is never mistaken for its successor's. Braces mean something to a Cluster, see store.Node.
func incarnation(nodeID string) string {
	var b [4]byte
	rand.Read(b[:])
	if nodeID == "" {
		host, err := os.Hostname()
		if err != nil || protocol.CheckDevice(host) != nil {
			host = "imserver"
		}
		nodeID = host
	}
	nodeID = strings.NewReplacer("{", "(", "}", ")").Replace(nodeID)
	return nodeID + "-" + hex.EncodeToString(b[:])
}

// maxConns is the limit in force.
func (c *Config) maxConns() int {
	files := openFiles()
	if files == 0 {
		return c.MaxConns
	}
	files = max(1, files-reservedFiles)
	if c.MaxConns > 0 {
		return min(c.MaxConns, files)
	}
	return files
}

// silentFiles is from which descriptor on connections are closed that have not asked for anything, so that what is reserved
// for everything but clients does not go to them.
func silentFiles() int { return max(0, openFiles()-reservedFiles/2) }

// openFiles is how many files this process may open; 0 when that is not known.
func openFiles() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 0
	}
	return int(min(lim.Cur, 1<<31))
}
