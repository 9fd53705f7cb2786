package scenario

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFolderForProfilesIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := profileFolder(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "heap.pprof"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := profileFolder(filepath.Join(dir, "heap.pprof")); err == nil {
		t.Error("a file was taken for a folder")
	}
	if err := profileFolder(""); err != nil {
		t.Errorf("none is wanted: %v", err)
	}
}
