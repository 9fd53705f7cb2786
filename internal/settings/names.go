package settings

import "slices"

// Names of settings by who takes them. A program that is listed here may only
// register what its row or commonNames has; this keeps the rows true, and with
// them what the other program skips in a shared environment.
var (
	commonNames = []string{
		"admin-listen", "allowed-origins", "events-size", "history-size", "history-ttl", "listen",
		"log-level", "max-message", "partitions", "redis-url", "signing-keys",
	}
	programNames = map[string][]string{
		"imserver": {
			"connect-rate-per-client", "connect-rate-per-ip", "device-policy", "drain-timeout", "inbound-bytes", "inbound-frames", "max-connections", "node-id", "offline-grace", "outbox-size",
			"ping-interval", "pong-timeout", "public-url", "trusted-proxies",
		},
		"webapi": {
			"allow-guests", "api-keys", "demo", "freeim-api", "user-jwt-jwks", "user-jwt-key",
			"webhook-events", "webhook-requests", "webhook-retries", "webhook-secret", "webhook-timeout", "webhook-url",
		},
	}
)

// configName is the setting that names the YAML file itself.
const configName = "config"

// mayRegister tells whether program's row has name. Programs without a row
// (development tools) may register anything.
func mayRegister(program, name string) bool {
	own, listed := programNames[program]
	return !listed || slices.Contains(commonNames, name) || slices.Contains(own, name)
}

// isForeign tells whether some program of this project takes name.
func isForeign(name string) bool {
	if slices.Contains(commonNames, name) {
		return true
	}
	for _, own := range programNames {
		if slices.Contains(own, name) {
			return true
		}
	}
	return false
}
