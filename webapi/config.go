package webapi

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/imtier/imtier/internal/settings"
	"github.com/imtier/imtier/pkg/ticket"
	"github.com/imtier/imtier/webapi/internal/usertoken"
	"github.com/imtier/imtier/webapi/internal/webhook"
)

// Config is what a webapi is told. The zero value is not usable: see Register for the defaults.
type Config struct {
	settings.Common
	Listen      string
	AdminListen string
	APIKeys     []string
	AllowGuests bool   // /v1/connect without a key, for a random clientId
	UserJWTKey  string // verifies user tokens on /v1/connect; see usertoken.KeyForms
	UserJWKS    string // the same as a JWK Set: a URL or a file
	Webhook     WebhookConfig
	FreeIM      bool // FreeIM's routes under /ws/
	Demo        bool // the chat page at / and its backend under /demo/
	Embedded    bool // Redis runs in this process; for development
}

// WebhookConfig says where to post what happens to clients.
type WebhookConfig struct {
	URL      string // empty: nowhere
	Secrets  []string
	Types    []string // of events; empty: all
	Timeout  time.Duration
	Retries  []time.Duration
	Requests bool // clients' requests too
}

// minAPIKey keeps out keys that can be guessed by trying. Development keys are shorter than real ones should be.
const minAPIKey = 7

// Register puts the settings into s.
func (c *Config) Register(s *settings.Set) {
	c.Common.Register(s, func(text string) error { _, err := ticket.ParseKeys(text); return err })
	s.Listen(&c.Listen, "listen", ":8080", "public address, for backends and pages")
	RegisterAdmin(s, &c.AdminListen)
	s.List(&c.APIKeys, "api-keys", nil, "keys that callers of the API show, separated by commas",
		settings.Secret(), settings.Required("make one with IM_API_KEYS=$(openssl rand -hex 24)"), settings.Check(checkAPIKeys))
	s.Bool(&c.AllowGuests, "allow-guests", false, "let pages connect without a key, under a random guest-... clientId")
	s.String(&c.UserJWTKey, "user-jwt-key", "", "accept user tokens (JWT, sub is the clientId) on /v1/connect: "+usertoken.KeyForms,
		settings.Secret(), settings.Check(checkUserKey))
	s.String(&c.UserJWKS, "user-jwt-jwks", "", "the same with a JWK Set: an https URL, or a file's path; read again every 10 minutes",
		settings.Check(checkJWKS))
	c.Webhook.register(s)
	s.Bool(&c.FreeIM, "freeim-api", false, "serve FreeIM's routes under /ws/; they ask for no key")
	s.Bool(&c.Demo, "demo", false, "serve the chat page at /; anybody may use it")
}

func (c *WebhookConfig) register(s *settings.Set) {
	s.String(&c.URL, "webhook-url", "", "post events there, signed as by the Standard Webhooks specification",
		settings.Check(webhook.CheckURL))
	s.List(&c.Secrets, "webhook-secret", nil, "whsec_... secrets that sign webhooks, separated by commas; needed with webhook-url",
		settings.Secret(), settings.Check(webhook.CheckSecrets))
	settings.Custom(s, &c.Types, "webhook-events", "", "types of events that are posted: some of online, offline, join, leave, receipt; all if not given",
		webhook.ParseTypes)
	s.Duration(&c.Timeout, "webhook-timeout", 10*time.Second, "how long the receiver may take to answer",
		settings.Within(100*time.Millisecond, webhook.MaxTimeout))
	settings.Custom(s, &c.Retries, "webhook-retries", "5s,30s,2m,10m,30m", "pauses between attempts; after the last, the event is a dead letter",
		webhook.ParseRetries)
	s.Bool(&c.Requests, "webhook-requests", false, "post clients' requests too, and reply with what comes back")
}

// check says what is wrong with the settings together.
func (c *WebhookConfig) check() error {
	switch {
	case c.URL != "" && len(c.Secrets) == 0:
		return errors.New("IM_WEBHOOK_SECRET is missing, which signs what is posted to IM_WEBHOOK_URL: make one with IM_WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)")
	case c.URL == "" && c.Requests:
		return errors.New("IM_WEBHOOK_REQUESTS is on, and IM_WEBHOOK_URL is not set")
	}
	return nil
}

// RegisterAdmin puts the admin listener's address into s; the health check needs nothing else.
func RegisterAdmin(s *settings.Set, addr *string) {
	s.Listen(addr, "admin-listen", "127.0.0.1:8081", "address for operators; never public")
}

func checkAPIKeys(text string) error {
	any := false
	for i, k := range strings.Split(text, ",") {
		k = strings.TrimSpace(k)
		switch {
		case k == "":
			continue
		case len(k) < minAPIKey:
			return fmt.Errorf("key %d has %d characters, want at least %d", i+1, len(k), minAPIKey)
		case strings.ContainsAny(k, " \t\r\n"):
			return fmt.Errorf("key %d has a blank in it", i+1)
		}
		any = true
	}
	if !any {
		return errors.New("want at least one key")
	}
	return nil
}

func checkUserKey(text string) error {
	if _, err := usertoken.ParseKey(text); err != nil {
		return fmt.Errorf("want %s: %w", usertoken.KeyForms, err)
	}
	return nil
}

func checkJWKS(text string) error {
	if strings.Contains(text, "://") && !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
		return errors.New("want an https:// URL or a file's path")
	}
	return nil
}
