package rig

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What redis-server keeps on disk: the append-only file's folder and the snapshot.
const (
	aofDir   = "appendonlydir"
	snapshot = "dump.rdb"
	redisLog = "redis.log"
)

// Order gives Redis a command, past all proxies, and returns the first line of its answer, which must not be an error.
func (r *Rig) Order(args ...string) string {
	r.T.Helper()
	answer := r.Redis.Do(args...)
	if strings.HasPrefix(answer, "-") {
		r.T.Fatalf("%s: %s", strings.Join(args, " "), answer)
	}
	return answer
}

// RedisLog is everything that Redis has logged.
func (r *Rig) RedisLog() string {
	r.T.Helper()
	b, err := os.ReadFile(filepath.Join(r.Redis.DataDir(), redisLog))
	if err != nil {
		r.T.Fatal(err)
	}
	return string(b)
}

// KillRedis ends Redis at once (SIGKILL). What its disk does not hold is lost.
func (l *Load) KillRedis() {
	l.Redis.Kill()
	l.Publisher.Lost(time.Now())
}

// BounceRedis ends Redis at once and starts it again after a while. One with an append-only file loses nothing by it: the
// operating system has what was written. But nobody can know that: who comes back is told that loss cannot be excluded.
func (l *Load) BounceRedis(down time.Duration) {
	l.T.Helper()
	l.Order("CONFIG", "SET", "appendfsync", "always") // otherwise it does not write while the disk is busy
	begin := time.Now()
	l.Redis.Kill()
	<-time.After(down)
	l.Redis.Restart()
	l.Publisher.MayAlarm(begin, time.Now())
}

// RestartRedis starts Redis again with what its disk holds.
func (l *Load) RestartRedis() {
	l.T.Helper()
	l.Redis.Restart()
	l.Publisher.Lost(time.Now()) // whatever was lost was lost by now
}

// EmptyDisk removes what a killed Redis has written.
func (l *Load) EmptyDisk() {
	l.T.Helper()
	l.must(os.RemoveAll(filepath.Join(l.Redis.DataDir(), aofDir)))
	l.must(os.RemoveAll(filepath.Join(l.Redis.DataDir(), snapshot)))
}

// SaveDisk remembers what the disk holds now; the function it returns puts that back, while Redis does not run.
func (l *Load) SaveDisk() (restore func()) {
	l.T.Helper()
	data, kept := l.Redis.DataDir(), l.T.TempDir()
	l.Order("SAVE")
	copyFile(l, filepath.Join(data, snapshot), filepath.Join(kept, snapshot))
	aof := filepath.Join(data, aofDir)
	if _, err := os.Stat(aof); err == nil {
		l.must(os.CopyFS(filepath.Join(kept, aofDir), os.DirFS(aof))) // while it grows: what is copied is a beginning of it
	}
	return func() {
		l.EmptyDisk()
		l.must(os.CopyFS(data, os.DirFS(kept)))
	}
}

func copyFile(l *Load, from, to string) {
	l.T.Helper()
	b, err := os.ReadFile(from)
	l.must(err)
	l.must(os.WriteFile(to, b, 0o644))
}

// CutDisk removes the last bytes of a killed Redis' append-only file.
func (l *Load) CutDisk(bytes int64) {
	l.T.Helper()
	files, err := filepath.Glob(filepath.Join(l.Redis.DataDir(), aofDir, "*.incr.aof"))
	l.must(err)
	if len(files) == 0 {
		l.T.Fatal("there is no append-only file to cut")
	}
	last := latestFile(files)
	info, err := os.Stat(last)
	l.must(err)
	l.must(os.Truncate(last, max(0, info.Size()-bytes)))
}

// latestFile is the one of append-only files that is written to: appendonly.aof.<number>.incr.aof with the largest number.
func latestFile(files []string) string {
	return slices.MaxFunc(files, func(a, b string) int { return cmp.Compare(aofNumber(a), aofNumber(b)) })
}

func aofNumber(file string) (n int) {
	parts := strings.Split(filepath.Base(file), ".")
	if len(parts) > 3 {
		n, _ = strconv.Atoi(parts[len(parts)-3]) // what is no number is none of Redis' files
	}
	return n
}

func (l *Load) must(err error) {
	l.T.Helper()
	if err != nil {
		l.T.Fatal(err)
	}
}
