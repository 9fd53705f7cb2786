package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/check"
	"github.com/imtier/imtier/e2e/internal/fault"
	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/rig"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// sabotages break one mechanism each.
var sabotages = []struct {
	name     string
	file     string // from the repository's root
	old, new string // once in it
	fault    string
	length   time.Duration
	want     []check.Rule // one of them
}{
	{"no catch-up of what was missed", "imserver/internal/hub/catchup.go",
		"entries, err := h.opts.Log.After(ctx, t.stream, from, topicBatch)",
		"entries, err := []Entry(nil), error(nil)\n\ts.mu.Lock()\n\tt.tail = t.seen\n\ts.mu.Unlock()\n\t_ = from",
		"cut-off-with-resets", 3 * time.Second, []check.Rule{check.Loss, check.SilentGap}},
	{"no catch-up of those who come back", "imserver/internal/hub/catchup.go",
		"entries, all, err := h.heardOf(ctx, s, f.t, next.entries)",
		"entries, all, err := []Entry(nil), true, error(nil)\n\ts.mu.Lock()\n\tfrom, end = f.t.head, true\n\ts.mu.Unlock()",
		"cut-clients", 2 * time.Second, []check.Rule{check.Loss, check.SilentGap}},
	{"no fence", "pkg/store/fence.go", `\n" + script`,
		`\n" + strings.NewReplacer("tonumber(epoch) >= tonumber(fence)", "true", "tonumber(epoch) >= tonumber(LIFE)", "true").Replace(script)`,
		"roll-back-redis", 2 * time.Second, []check.Rule{check.Fork, check.SilentGap}},
	{"no memory of ids", "pkg/store/fence.go", `\n" + script`,
		`\n" + strings.Replace(script, "local pos = idempotent and", "local pos = false and", 1)`,
		"cut-off-webapi", 4 * time.Second, []check.Rule{check.Duplicate}},
	{"no receipts", "pkg/store/lua/acknowledge.lua",
		"if e.pos == row[1] and e.state == 'o' then", "if false then",
		"cut-clients", time.Second, []check.Rule{check.Receipt}},
	{"receipts of what was sent and not acknowledged", "imserver/internal/hub/receipts.go",
		"case c.V1:", "case c.V1 && false:",
		"stall-clients", 4 * time.Second, []check.Rule{check.Receipt}},
	{"no cursors", "imserver/internal/hub/start.go",
		"p, ok := c.Cursors[f.t.wire]; ok", "p, ok := c.Cursors[f.t.wire]; ok && false",
		"cut-clients", 2 * time.Second, []check.Rule{check.Loss, check.SilentGap}},
	{"nodes do not hear of leaves", "pkg/store/lua/settle.lua",
		`redis.call(ANNOUNCE, ARGV[2], 'L`, `redis.call(ANNOUNCE, ARGV[2] .. 'x', 'L`,
		"cut-clients", time.Second, []check.Rule{check.Stray}},
	{"nodes do not hear of joins", "pkg/store/lua/settle.lua",
		`redis.call(ANNOUNCE, ARGV[2], 'J`, `redis.call(ANNOUNCE, ARGV[2] .. 'x', 'J`,
		"stall-clients", time.Second, []check.Rule{check.Unfollowed}},
	{"groups are read before it is known who is in them", "imserver/internal/hub/holding.go",
		"h.held.Store(true)", "h.held.Store(false)",
		"cut-off-with-resets", 3 * time.Second, []check.Rule{check.Stray}},
	{"everybody who comes back to a group begins at its end", "imserver/internal/hub/start.go",
		"sameLife := b.pos.Epoch >= tail.Fence",
		"sameLife := b.pos.Epoch >= tail.Fence\n\tif b.f.t.stream.Kind == protocol.Group {\n\t\tb.pos = tail.Pos\n\t\treturn nil\n\t}",
		"cut-clients", time.Second, []check.Rule{check.FalseAlarm}},
	{"what clients say about where they stopped is ignored", "imserver/internal/hub/start.go",
		"if p, ok := want[f.t.stream]; ok {", "if p, ok := want[f.t.stream]; ok && false {",
		"cut-clients", time.Second, []check.Rule{check.Duplicate}},
	{"nobody is left out", "imserver/internal/hub/message.go",
		"m.ExceptSender &&", "false &&",
		"cut-clients", time.Second, []check.Rule{check.Stray}},
}

// TestSabotagesFitTheCode finds out early that one of them has to follow a change.
func TestSabotagesFitTheCode(t *testing.T) {
	for _, tt := range sabotages {
		t.Run(tt.name, func(t *testing.T) { sabotaged(t, tt.file, tt.old, tt.new) })
	}
}

// TestFaultsSabotage breaks the programs themselves, one mechanism at a time: a rig that finds nothing then is worthless.
func TestFaultsSabotage(t *testing.T) {
	if !rig.Full() {
		t.Skip("builds the programs again and again: RIG_FULL=1")
	}
	for _, tt := range sabotages {
		t.Run(tt.name, func(t *testing.T) {
			broken := sabotage(t, tt.file, tt.old, tt.new)
			r := rig.Start(t, broken, rig.Options{Nodes: 2, Redis: []redistest.Option{redistest.AOF()}})
			l := r.Load(rig.LoadOptions{Settle: 10 * time.Second})
			for range 3 {
				fault.ByName(tt.fault).Inflict(l, fault.Step{Pause: time.Second, Length: tt.length})
			}
			<-time.After(2 * time.Second)
			found, _, _ := l.Violations()
			t.Logf("%d violations", len(found))
			if !slices.ContainsFunc(found, func(v check.Violation) bool { return slices.Contains(tt.want, v.Rule) }) {
				t.Errorf("want one of %v among %v", tt.want, found)
			}
		})
	}
}

// sabotage builds the programs with one text of one file replaced; the file itself stays as it is.
func sabotage(t *testing.T, file, old, new string) proc.Binaries {
	t.Helper()
	dir := t.TempDir()
	path, text := sabotaged(t, file, old, new)
	changed := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	built, err := proc.Build(dir, "-overlay", list)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// sabotaged returns where a file is, and its text with another one replaced, which has to be in it once.
func sabotaged(t *testing.T, file, old, new string) (path, text string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		t.Fatalf("%s holds %d times %q: the sabotage has to follow the code", file, n, old)
	}
	return path, strings.Replace(string(b), old, new, 1)
}
