package procs

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestRedisKeepsWhatItIsToldTo(t *testing.T) {
	for _, aof := range []bool{false, true} {
		r, err := StartRedis(t.Context(), aof)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		set := func(r *bufio.Reader) error { _, err := r.ReadString('\n'); return err }
		if err := askRedis(r.URL, "SET a b", set); err != nil {
			t.Fatal(err)
		}
		var kept int64
		files, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				kept += info.Size()
			}
		}
		if (kept > 0) != aof {
			t.Errorf("append-only file %v: %d bytes on disk", aof, kept)
		}
		r.Stop()
		if _, err := os.Stat(r.dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("append-only file %v: the folder is left: %v", aof, err)
		}
	}
}
