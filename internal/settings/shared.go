package settings

import (
	"errors"
	"net/url"
	"strings"
	"time"
)

// Common is what both programs are told. Partitions, HistorySize, HistoryTTL
// and MaxMessage have to be the same in all of them.
type Common struct {
	RedisURL       string
	SigningKeys    string // kid:base64,…; the first signs, all verify
	Partitions     int
	HistorySize    int // messages per stream
	HistoryTTL     time.Duration
	EventsSize     int      // events per partition
	MaxMessage     int      // bytes
	AllowedOrigins []string // lower case; empty means the host itself, "*" all
	LogLevel       string   // one of logging's levels
}

// Bounds of the shared settings.
const (
	// maxPartitions keeps a janitor's round and a node's subscriptions small;
	// 4096 spread evenly over far more Redis shards than one product runs.
	maxPartitions = 4096
	// maxHistorySize keeps one stream below about a GiB at 1 KiB a message.
	maxHistorySize = 1_000_000
	// A history shorter than a reconnect would be useless; one longer than 30
	// days would outlive the cursors that say where a device stopped.
	minHistoryTTL = time.Second
	maxHistoryTTL = 30 * 24 * time.Hour
	// Fewer events than a burst brings would make every consumer lose some; a
	// million in each of 256 partitions are some 50 GB.
	minEventsSize = 100
	maxEventsSize = 1_000_000
	// A message is held whole in memory by every program that it passes.
	minMaxMessage = 1 << 10
	maxMaxMessage = 16 << 20
)

// howToMakeKeys ends the message about absent signing keys.
const howToMakeKeys = "the key that signs connect URLs, the same in all programs; make one with " +
	"IM_SIGNING_KEYS=k1:$(openssl rand -base64 32)"

// Register puts the shared settings into s. checkKeys looks at the signing keys
// (ticket.ParseKeys does); its error must not quote them.
func (c *Common) Register(s *Set, checkKeys func(text string) error) {
	s.String(&c.RedisURL, "redis-url", "redis://127.0.0.1:6379",
		"Redis 7.0 or later, redis:// or rediss:// (TLS)", Secret(), Check(checkRedisURL))
	s.String(&c.SigningKeys, "signing-keys", "",
		"id:base64[,id:base64...], at least 32 bytes each; the first signs, all verify",
		Secret(), Required(howToMakeKeys), Check(checkKeys))
	s.Int(&c.Partitions, "partitions", 256,
		"number of partitions, fixed once Redis holds data", Between(1, maxPartitions))
	s.Int(&c.HistorySize, "history-size", 1000,
		"messages kept per stream", Between(1, maxHistorySize))
	s.Duration(&c.HistoryTTL, "history-ttl", 24*time.Hour,
		"how long a stream is kept after its last message", Within(minHistoryTTL, maxHistoryTTL))
	s.Int(&c.EventsSize, "events-size", 10_000,
		"events kept per partition, for consumers that were away", Between(minEventsSize, maxEventsSize))
	s.Bytes(&c.MaxMessage, "max-message", 64<<10,
		"largest message in either direction", Between(minMaxMessage, maxMaxMessage))
	Custom(s, &c.AllowedOrigins, "allowed-origins", "",
		"browser origins that may connect, such as https://app.example.com, besides those of the host itself; * allows all",
		parseOrigins, asList)
	s.String(&c.LogLevel, "log-level", "info", "least level that is logged",
		OneOf("debug", "info", "warn", "error"))
}

// asList lets the YAML file give a sequence.
func asList(st *setting) { st.list, st.kind = true, "LIST" }

func checkRedisURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") || u.Host == "" {
		return errors.New("want redis://[user:password@]host:port[/db], or rediss:// for TLS")
	}
	return nil
}

// parseOrigins takes origins as browsers send them, separated by commas, and
// returns them in lower case.
func parseOrigins(text string) ([]string, error) {
	origins := splitList(strings.ToLower(text))
	for _, o := range origins {
		u, err := url.Parse(o)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && o == u.Scheme+"://"+u.Host
		if o != "*" && (!ok || strings.Contains(o, "*")) {
			return nil, errors.New("want * or origins such as https://app.example.com:8443, without a path, separated by commas")
		}
	}
	return origins, nil
}
