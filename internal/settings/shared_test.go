package settings

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parseCommon(env ...string) (*Common, error) {
	s, c := New("imserver"), &Common{}
	c.Register(s, func(text string) error {
		if !strings.Contains(text, ":") {
			return errors.New("want kid:base64")
		}
		return nil
	})
	return c, s.Parse(nil, env)
}

func TestCommonDefaults(t *testing.T) {
	c, err := parseCommon("IM_SIGNING_KEYS=k1:abc")
	if err != nil {
		t.Fatal(err)
	}
	want := &Common{RedisURL: "redis://127.0.0.1:6379", SigningKeys: "k1:abc", Partitions: 256, HistorySize: 1000,
		HistoryTTL: 24 * time.Hour, EventsSize: 10_000, MaxMessage: 64 << 10, LogLevel: "info"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestMissingSigningKeysTellHowToMakeThem(t *testing.T) {
	_, err := parseCommon()
	if err == nil || !strings.Contains(err.Error(), "IM_SIGNING_KEYS=k1:$(openssl rand -base64 32)") {
		t.Errorf("err = %v", err)
	}
}

func TestCommonValues(t *testing.T) {
	tests := []struct {
		env string
		ok  bool
	}{
		{"IM_SIGNING_KEYS=nokid", false},
		{"IM_REDIS_URL=rediss://user:pw@host:6380/1?addr=b:6380", true},
		{"IM_REDIS_URL=http://host", false},
		{"IM_REDIS_URL=127.0.0.1:6379", false},
		{"IM_REDIS_URL=redis://", false},
		{"IM_PARTITIONS=1", true},
		{"IM_PARTITIONS=4096", true},
		{"IM_PARTITIONS=4097", false},
		{"IM_HISTORY_SIZE=0", false},
		{"IM_HISTORY_TTL=1ms", false},
		{"IM_MAX_MESSAGE=256KiB", true},
		{"IM_MAX_MESSAGE=1", false},
		{"IM_ALLOWED_ORIGINS=*", true},
		{"IM_ALLOWED_ORIGINS=https://a.example.com, http://localhost:8080", true},
		{"IM_ALLOWED_ORIGINS=a.example.com", false},
		{"IM_ALLOWED_ORIGINS=https://a.example.com/", false},
		{"IM_ALLOWED_ORIGINS=https://*.example.com", false},
		{"IM_ALLOWED_ORIGINS=ws://a", false},
		{"IM_LOG_LEVEL=verbose", false},
	}
	for _, tt := range tests {
		t.Run(tt.env, func(t *testing.T) {
			_, err := parseCommon("IM_SIGNING_KEYS=k1:abc", tt.env)
			if (err == nil) != tt.ok {
				t.Errorf("err = %v, want ok = %v", err, tt.ok)
			}
		})
	}
}

func TestOriginsAreLowerCase(t *testing.T) {
	c, err := parseCommon("IM_SIGNING_KEYS=k1:abc", "IM_ALLOWED_ORIGINS=HTTPS://App.Example.com,http://B")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://app.example.com", "http://b"}; !reflect.DeepEqual(c.AllowedOrigins, want) {
		t.Errorf("got %q, want %q", c.AllowedOrigins, want)
	}
}

func TestRedisPasswordIsNotPrinted(t *testing.T) {
	_, err := parseCommon("IM_SIGNING_KEYS=k1:abc", "IM_REDIS_URL=redis:://user:hunter22@host")
	if err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("err = %v", err)
	}
}
