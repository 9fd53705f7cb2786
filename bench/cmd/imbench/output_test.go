package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
	"github.com/imtier/imtier/bench/internal/report"
)

// notAFolder is the path of a file.
func notAFolder(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("what was measured before"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func withPicture() *report.Report {
	res := report.New("fanout", "an example")
	took := measure.NewLatency()
	took.Record(time.Millisecond)
	res.Took("delivery", took)
	return &report.Report{Results: []*report.Result{res}}
}

func TestJSONIsWrittenWhenPicturesCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	o := output{json: jsonFlag(file), svg: notAFolder(t)}
	if err := o.write(withPicture(), &bytes.Buffer{}); err == nil {
		t.Error("pictures in a folder that is none")
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "an example") {
		t.Errorf("JSON: %q, %v", text, err)
	}
}

func TestPicturesAreDrawnWhenJSONCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	o := output{json: jsonFlag(filepath.Join(dir, "none", "out.json")), svg: filepath.Join(dir, "pictures")}
	if err := o.write(withPicture(), &bytes.Buffer{}); err == nil {
		t.Error("JSON in a folder that is not there")
	}
	if _, err := os.Stat(filepath.Join(o.svg, "fanout-latency.svg")); err != nil {
		t.Error(err)
	}
}

func TestWhereResultsGoIsTriedBefore(t *testing.T) {
	before := notAFolder(t)
	for _, tc := range []struct {
		name string
		out  output
		ok   bool
	}{
		{"nothing is written", output{}, true},
		{"standard output", output{json: "-"}, true},
		{"a new folder, a file that is there", output{json: jsonFlag(before), svg: filepath.Join(t.TempDir(), "a", "b")}, true},
		{"a folder that is none", output{svg: before}, false},
		{"JSON in a folder that is not there", output{json: jsonFlag(filepath.Join(t.TempDir(), "a", "b.json"))}, false},
	} {
		if err := tc.out.try(); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if text, err := os.ReadFile(before); err != nil || string(text) != "what was measured before" {
		t.Errorf("after trying: %q, %v", text, err)
	}
}
