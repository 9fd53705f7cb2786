package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

// Options of a Webhook.
type Options struct {
	Helper   *imhelper.Helper      // required
	URL      string                // required
	Secrets  []string              // whsec_…; each signs; at least one
	Types    []string              // of events; empty: all
	Timeout  time.Duration         // of one attempt; below MaxTimeout
	Retries  []time.Duration       // pauses after the first attempt, the second, …; then it is a dead letter
	Requests bool                  // clients' requests are posted too, and what comes back is the reply
	Log      *zap.Logger           // required
	Metrics  prometheus.Registerer // required
}

const (
	// MaxTimeout keeps an attempt below the 30 s after which another webapi may take the partition.
	MaxTimeout = 25 * time.Second
	// MaxRetries and MaxPause bound a schedule.
	MaxRetries = 20
	MaxPause   = 24 * time.Hour

	secretPrefix = "whsec_"
	// What the specification demands of a key, in bytes.
	minSecret, maxSecret = 24, 64
)

// CheckURL says what is wrong with a webhook's URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Fragment != "" {
		return errors.New("want an https:// URL")
	}
	return nil
}

// CheckSecrets says what is wrong with secrets, separated by commas, without quoting them.
func CheckSecrets(text string) error {
	for i, secret := range strings.Split(text, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), secretPrefix))
		if err != nil || !strings.HasPrefix(strings.TrimSpace(secret), secretPrefix) || len(key) < minSecret || len(key) > maxSecret {
			return fmt.Errorf("secret %d: want whsec_ and %d to %d bytes in base64; make one with whsec_$(openssl rand -base64 32)",
				i+1, minSecret, maxSecret)
		}
	}
	return nil
}

// ParseRetries reads a schedule: durations separated by commas.
func ParseRetries(text string) ([]time.Duration, error) {
	wrong := fmt.Errorf("want up to %d durations of at most %v, such as 5s,1m,10m", MaxRetries, MaxPause)
	var out []time.Duration
	for part := range strings.SplitSeq(text, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil || d <= 0 || d > MaxPause {
			return nil, wrong
		}
		out = append(out, d)
	}
	if len(out) > MaxRetries {
		return nil, wrong
	}
	return out, nil
}

// ParseTypes reads types of events, separated by commas.
func ParseTypes(text string) ([]string, error) {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		typ := strings.TrimSpace(part)
		if !imhelper.IsEventType(typ) {
			return nil, errors.New("want some of online, offline, join, leave, receipt, separated by commas")
		}
		out = append(out, typ)
	}
	return out, nil
}
