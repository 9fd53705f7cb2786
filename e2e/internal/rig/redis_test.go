package rig

import "testing"

func TestLatestFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{[]string{"/d/appendonly.aof.1.incr.aof"}, "/d/appendonly.aof.1.incr.aof"},
		{[]string{"/d/appendonly.aof.1.incr.aof", "/d/appendonly.aof.2.incr.aof"}, "/d/appendonly.aof.2.incr.aof"},
		{[]string{"/d/appendonly.aof.10.incr.aof", "/d/appendonly.aof.9.incr.aof"}, "/d/appendonly.aof.10.incr.aof"},
	} {
		if got := latestFile(tt.files); got != tt.want {
			t.Errorf("of %q it is %s", tt.files, got)
		}
	}
}
