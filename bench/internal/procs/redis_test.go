package procs

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

func TestAnotherRedisOnThePortIsNotTakenForOurs(t *testing.T) {
	other, err := StartRedis(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Stop()
	for range 10 { // the other one answers before ours has noticed
		r, err := startRedisAt(t.Context(), strings.TrimPrefix(other.URL, "redis://"), false)
		if err == nil {
			r.Stop()
			t.Fatal("two on one port")
		}
	}
	// One that has not ended yet, as on a busy machine.
	slow := &Redis{process: &process{done: make(chan struct{})}, URL: other.URL}
	ctx, cancel := context.WithTimeout(t.Context(), 10*redisPoll)
	defer cancel()
	if err := slow.await(ctx, &tail{}); err == nil {
		t.Error("one that says nothing is ready, because another one answers")
	}
}
