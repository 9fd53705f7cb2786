package logging

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestFileGetsJSONFromLevelOn(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	log, err := New(out, "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this")
	log.Warn("slow client", zap.String("client_id", "a\nb"), zap.Duration("after", 1500*time.Millisecond))
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if line["level"] != "warn" || line["msg"] != "slow client" || line["client_id"] != "a\nb" || line["after"] != "1.5s" {
		t.Errorf("line = %v", line)
	}
	if _, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil {
		t.Error(err)
	}
}

func TestConsoleFormIsReadable(t *testing.T) {
	var b bytes.Buffer
	build(consoleEncoder(), zapcore.AddSync(&b), zapcore.InfoLevel).Info("ready", zap.String("addr", ":6001"))
	if got := b.String(); !strings.Contains(got, "INFO") || !strings.Contains(got, "ready") || strings.HasPrefix(got, "{") {
		t.Errorf("line = %q", got)
	}
}

func TestUnknownLevel(t *testing.T) {
	if _, err := New(os.Stderr, "loud"); err == nil {
		t.Error("no error")
	}
}
