package machine

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestGroupMemory(t *testing.T) {
	for _, tc := range []struct {
		name, self string
		files      map[string]string
		want       int64
	}{
		{"no group", "", nil, math.MaxInt64},
		{"version 2", "0::/a/b\n", map[string]string{"a/b/memory.max": "5000\n", "a/b/memory.current": "2000\n"}, 3000},
		{"the group around it", "0::/a/b\n", map[string]string{
			"a/b/memory.max": "max\n", "a/b/memory.current": "2000\n", "a/memory.max": "4000\n", "a/memory.current": "3500\n"}, 500},
		{"version 1", "4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "700\n", "memory/a/memory.usage_in_bytes": "100\n"}, 600},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range tc.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			self := filepath.Join(root, "self")
			if err := os.WriteFile(self, []byte(tc.self), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := groupMemory(root, self); got != tc.want {
				t.Errorf("groupMemory = %d, want %d", got, tc.want)
			}
		})
	}
}
