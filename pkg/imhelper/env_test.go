package imhelper

import (
	"strings"
	"testing"
	"time"
)

func TestOptionsFromEnv(t *testing.T) {
	all := map[string]string{
		"IM_REDIS_URL": "redis://h:1", "IM_SIGNING_KEYS": "k:x", "IM_PARTITIONS": "16", "IM_HISTORY_SIZE": "7",
		"IM_HISTORY_TTL": "90m", "IM_EVENTS_SIZE": "300", "IM_MAX_MESSAGE": "16 kib",
	}
	for name := range all {
		t.Setenv(name, "")
	}
	if o, err := OptionsFromEnv(); err != nil || o.Partitions+o.HistorySize+o.EventsSize+o.MaxMessage+len(o.RedisURL) != 0 || o.HistoryTTL != 0 {
		t.Errorf("of nothing: %+v, %v", o, err)
	}
	for name, text := range all {
		t.Setenv(name, text)
	}
	o, err := OptionsFromEnv()
	if err != nil || o.RedisURL != "redis://h:1" || o.SigningKeys != "k:x" || o.Partitions != 16 || o.HistorySize != 7 ||
		o.HistoryTTL != 90*time.Minute || o.EventsSize != 300 || o.MaxMessage != 16<<10 {
		t.Errorf("%+v, %v", o, err)
	}
	for name, bad := range map[string][]string{
		"IM_PARTITIONS":  {"x", "0", "-1", "1.5"},
		"IM_HISTORY_TTL": {"5", "-1s", "0s"},
		"IM_MAX_MESSAGE": {"KiB", "-1", "0", "1 TiB", "9999999999GiB"},
	} {
		for _, text := range bad {
			t.Run(name+"="+text, func(t *testing.T) {
				t.Setenv(name, text)
				if _, err := OptionsFromEnv(); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("taken, or not named: %v", err)
				}
			})
		}
	}
}

func TestARedisURLIsRequired(t *testing.T) {
	_, err := New(t.Context(), Options{})
	if err == nil || err.Error() != "imhelper: RedisURL is required, such as redis://127.0.0.1:6379" {
		t.Error(err)
	}
}
