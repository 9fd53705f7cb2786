package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imtier/imtier/bench/internal/report"
)

// bin is where the programs are built, once.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "imbench-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(bin) // the system's folder for such things is emptied in time
	os.Exit(code)
}

// programs returns imbench's path; imbench and what it measures are built without the race detector.
func programs(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, "imbench")
}

var built = sync.OnceValue(func() (all error) {
	for _, module := range []string{"imserver", "webapi", "bench"} {
		cmd := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./cmd/...")
		cmd.Dir = filepath.Join("..", "..", "..", module)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			all = errors.Join(all, fmt.Errorf("build %s: %w\n%s", module, err, out))
		}
	}
	return all
})

// imbench runs a benchmark and returns what it found, and its exit code.
func imbench(t *testing.T, path string, args ...string) (*report.Result, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, append(args, "-json")...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if bad := (&exec.ExitError{}); err != nil && !errors.As(err, &bad) {
		t.Fatal(err)
	}
	var rep report.Report
	if err := json.Unmarshal(stdout.Bytes(), &rep); err != nil || len(rep.Results) != 1 {
		t.Fatalf("%v: %v\n%s%s", args, err, stdout.String(), stderr.String())
	}
	res := rep.Results[0]
	var text strings.Builder
	if err := res.Print(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	return res, cmd.ProcessState.ExitCode()
}

func TestRealProcesses(t *testing.T) {
	path := programs(t)
	t.Run("ratios", func(t *testing.T) { ratios(t, path) })
	t.Run("a goal that is missed", func(t *testing.T) { missedGoal(t, path) })
	t.Run("nowhere to write", func(t *testing.T) { nowhere(t, path) })
	t.Run("a hang-up", func(t *testing.T) { hangUp(t, path) })
}

// ratios runs small benchmarks whose limits are far from what a quiet machine reaches: they are broken by what
// makes imtier several times slower or larger, and not by what else the machine does.
func ratios(t *testing.T, path string) {
	for _, args := range [][]string{
		{"idle", "-n=2000", "-ping-interval=1s", "-quiet=1s", "-max-bytes=16384"},
		{"connect", "-n=500", "-min-rate=100"},
		{"fanout", "-n=1000", "-rounds=9", "-max-ratio=3"},
		{"broadcast", "-nodes=2", "-per-node=300", "-rounds=9", "-v1=50", "-max-ratio=4"},
		{"send", "-n=500", "-acks", "-rounds=3", "-duration=200ms", "-min-durable=0.1", "-min-ephemeral=0.1", "-min-chain=0.1", "-min-batch-chain=0.1", "-min-batch=1000", "-min-batch-share=0.1"},
		{"send", "-via=imhelper", "-n=500", "-rounds=2", "-duration=100ms", "-min-batch=1000", "-min-batch-share=0.1"},
		{"send", "-kind=durable", "-rate=200", "-n=500", "-rounds=1", "-duration=500ms", "-max-p99=2s"},
		{"mixed", "-n=300", "-groups=60", "-rate=100", "-duration=2s"},
		{"slow", "-n=200", "-stuck=10", "-rate=5", "-flood=80", "-duration=2s", "-max-ratio=100"},
		{"scale", "-sockets=200", "-nodes=2", "-per-node=100", "-groups=1,20", "-members=50", "-deliveries=2000", "-max-spread=0.8"},
		{"send", "-aof", "-kind=durable", "-n=200", "-rounds=1", "-duration=200ms", "-baseline=false"},
		{"resume", "-n=300", "-missed=5", "-max-time=10s"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			res, code := imbench(t, path, args...)
			for try := 1; try < 3 && tooSlow(res); try++ { // a busy machine is slow, but not always
				res, code = imbench(t, path, args...)
			}
			if code != 0 || !res.Met() || res.Failure != "" {
				t.Errorf("exit code %d, %s", code, res.Failure)
			}
			checkExact(t, res)
			if aof := slices.Contains(args, "-aof"); strings.Contains(res.Redis, "append-only") != aof || res.Redis == "" {
				t.Errorf("Redis keeps: %q", res.Redis)
			}
			if len(res.Rows) == 0 || res.Parameters["parallel"] == "" {
				t.Errorf("not complete: %+v", res)
			}
		})
	}
}

// timed are the goals that a busy machine may miss: of times, of rates and their ratios, and of memory that is not still.
// All others are met or something is broken.
var timed = []string{
	"connects", "until the last has everything", "last socket, times the bare loop", "p99 of the others, times what it was",
	"durable, share of the bare handler", "durable, times the bare chain", "ephemeral, share of the bare handler",
	"durable, p99 until read by the receiver", "batch", "batch, times the bare chain", "batch, share of the bare script",
	"cost of a delivery, spread over sockets of one node", "cost of a delivery, spread over nodes",
	"cost of a delivery, spread over groups of each client",
	"resident memory per connection", "all memory in use", "of it servers", "all of it", "broadcast to the last socket, times the bare loops",
}

// exact are, by benchmark, the goals that nothing is lost and nothing too many: each has to be there, and met.
var exact = map[string][]string{
	"idle":      {"connections lost or too many", "clients connected and not online in Redis"},
	"connect":   {"clients connected and not online in Redis"},
	"fanout":    {"messages lost or too many"},
	"broadcast": {"messages lost or too many"},
	"send":      {"messages lost or too many"},
	"mixed":     {"clients that got more or less than was sent to them"},
	"slow":      {"messages of the others lost or too many", "kept for one that does not read", "memory for one that does not read"},
	"scale": {
		"messages lost or too many, sockets of one node", "messages lost or too many, nodes",
		"messages lost or too many, groups of each client",
	},
	"resume": {"messages lost or too many", "messages twice or out of order", "streams that clients could not resume for sure"},
	"million": {
		"clients connected and not online in Redis", "messages lost or too many", "messages twice, out of order, or for another client",
		"streams that clients could not resume for sure", "clients connected and not online in Redis, in the end",
	},
}

// tooSlow tells whether goals were missed, but none of those that are no question of time.
func tooSlow(res *report.Result) bool {
	for _, r := range res.Rows {
		if r.Met != nil && !*r.Met && !slices.Contains(timed, r.Measure) {
			return false
		}
	}
	return res.Failure == "" && !res.Met()
}

// checkExact tells which of the exact goals are not there, or missed.
func checkExact(t *testing.T, res *report.Result) {
	t.Helper()
	for _, name := range exact[res.Name] {
		at := slices.IndexFunc(res.Rows, func(r report.Row) bool { return r.Measure == name })
		if at < 0 || res.Rows[at].Met == nil || !*res.Rows[at].Met {
			t.Errorf("%s: not there, or missed", name)
		}
	}
}

func TestWhatIsLostIsNoQuestionOfTime(t *testing.T) {
	miss := func(measures ...string) *report.Result {
		res := report.New("x", "")
		res.Check("fine", 0, "", report.AtMost(0), "")
		for _, m := range measures {
			res.Check(m, 1, "", report.AtMost(0), "")
		}
		return res
	}
	for name, rows := range exact {
		for _, r := range rows {
			if tooSlow(miss(r)) || tooSlow(miss("connects", r)) {
				t.Errorf("%s: one more try after %q was missed", name, r)
			}
		}
	}
	if !tooSlow(miss("connects")) || tooSlow(miss()) {
		t.Error("no other try after a time was missed, or one after none was")
	}
	failed := miss("connects")
	if failed.Fail(errors.New("broken")); tooSlow(failed) {
		t.Error("one more try after a failure")
	}
}

func missedGoal(t *testing.T, path string) {
	dir := filepath.Join(t.TempDir(), "pictures")
	res, code := imbench(t, path, "fanout", "-n=50", "-rounds=2", "-max-ratio=0.001", "-svg="+dir)
	if code != exitFailed || res.Met() || res.Failure != "" {
		t.Errorf("exit code %d, met %v, %s", code, res.Met(), res.Failure)
	}
	if _, err := os.Stat(filepath.Join(dir, "fanout-latency.svg")); err != nil {
		t.Error(err)
	}
	got := res.Latencies[0]
	if got.Count != 100 || got.Min <= 0 || got.P999 < got.P50 || len(got.Curve) == 0 {
		t.Errorf("latency %+v", got.Summary)
	}
	if c := res.Costs[0]; c.Of("imserver") <= 0 || c.Of("clients") <= 0 || c.Redis.Commands <= 0 || c.Count != 100 {
		t.Errorf("cost %+v", c)
	}
}

// nowhere: what cannot be written is found out before anything is measured, of which there would be a table.
func nowhere(t *testing.T, path string) {
	out, err := exec.CommandContext(t.Context(), path, "fanout", "-n=50", "-rounds=1", "-svg="+notAFolder(t)).Output()
	if err == nil || len(out) > 0 {
		t.Errorf("%v, and it was measured:\n%s", err, out)
	}
}

// hangUp: a terminal that is closed leaves nothing behind.
func hangUp(t *testing.T, path string) {
	heard := make(chan os.Signal, 1) // what these tests ignore (nohup) imbench would ignore too; what they are told of it is not
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path, "fanout", "-n=50", "-rounds=100000")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	left := func() []os.DirEntry {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	for limit := time.After(time.Minute); len(left()) == 0; {
		select {
		case <-limit:
			t.Fatal("no Redis was started")
		case <-tick.C:
		}
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // its exit code says that it did not come to its end
	late.Stop()
	if got := cmd.ProcessState.ExitCode(); got != exitFailed || len(left()) > 0 {
		t.Errorf("exit code %d, left behind %v", got, left())
	}
}

func TestBadUsageIsRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"idel"}, {"idle", "-frobnicate"}, {"idle", "12"}, {"all", "-n=5x"}} {
		if got := run(args); got != exitBadUsage {
			t.Errorf("%v: exit code %d, want %d", args, got, exitBadUsage)
		}
	}
}

// A value that makes no sense is found before anything is started: what follows would be a panic, a wait for what never
// comes, or a goal that nothing meets.
func TestSenselessValuesAreRefused(t *testing.T) {
	for _, command := range []string{
		"idle -v1=200", "idle -n=0", "idle -ping-interval=0s", "idle -parallel=0", "idle -aof -redis=redis://127.0.0.1:1", "idle -quiet=-1s",
		"connect -n=-1", "connect -groups=-1", "connect -storm -parallel=8",
		"send -via=foo", "send -kind=foo", "send -n=0", "send -senders=-1", "send -batch-senders=0", "send -batch-size=0", "send -rounds=0",
		"send -duration=0s", "send -rate=-1", "send -rate=NaN", "send -rate=+Inf", "send -rate=0.1 -duration=1s",
		"send -kind=batch -rate=100 -duration=2s", "send -offline -rate=5", "send -offline -acks",
		"fanout -rounds=-5", "fanout -n=-1", "fanout -n=0 -rounds=1", "fanout -size=5", "fanout -size=70000", "fanout -v1=-1",
		"broadcast -nodes=0", "broadcast -per-node=0", "broadcast -rounds=0",
		"mixed -rate=0.1 -duration=1s", "mixed -rate=0", "mixed -each=5 -groups=4", "mixed -each=101", "mixed -zipf=1", "mixed -zipf=NaN",
		"mixed -group-share=1.5", "mixed -n=0",
		"resume -n=0", "resume -missed=0", "resume -max-time=0s",
		"slow -stuck=0", "slow -n=10 -stuck=10", "slow -rate=0", "slow -flood=0", "slow -flood=0.1 -duration=1s", "slow -outbox=0", "slow -v1=0", "slow -duration=1m",
		"scale -members=0 -groups=1", "scale -per-node=0", "scale -deliveries=0", "scale -sockets=0", "scale -sockets= -nodes= -groups=",
		"scale -redis=redis://127.0.0.1:1",
		"million -nodes=1", "million -nodes=300", "million -per-node=0", "million -rounds=0", "million -rate=0", "million -directs=0", "million -v1=101", "million -max-time=0s",
	} {
		args := strings.Fields(command)
		if err := prepare([]job{{name: args[0]}}, args[1:], &output{}); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if got := run([]string{"fanout", "-rounds=-5"}); got != exitBadUsage {
		t.Errorf("exit code %d, want %d", got, exitBadUsage)
	}
	for _, command := range []string{
		"connect -storm", "connect -parallel=8", "send -rate=5000", "send -kind=batch -rate=500 -duration=1s", "send -n=100 -kind=batch -rate=100 -duration=1s",
		"mixed -each=0", "slow -v1=100", "scale -nodes=", "million -v1=0",
	} {
		args := strings.Fields(command)
		if err := prepare([]job{{name: args[0]}}, args[1:], &output{}); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	if err := prepare(suite(), nil, &output{}); err != nil {
		t.Errorf("all: %v", err)
	}
}

// TestMillion runs a small installation: every message has to arrive once, also those for the clients of the node that
// is killed.
func TestMillion(t *testing.T) {
	path := programs(t)
	args := []string{
		"million", "-nodes=2", "-per-node=200", "-rounds=2", "-directs=200", "-rate=400", "-quiet=200ms",
		"-miss-broadcast", "-max-memory=10000", "-max-servers=10000", "-max-ratio=100",
	}
	res, code := imbench(t, path, args...)
	for try := 1; try < 3 && tooSlow(res); try++ {
		res, code = imbench(t, path, args...)
	}
	if code != 0 || !res.Met() || res.Failure != "" {
		t.Errorf("exit code %d, %s", code, res.Failure)
	}
	checkExact(t, res)
	if v, ok := res.Value("after kill -9 of a node, until its clients are back with every message"); !ok || v <= 0 {
		t.Errorf("nobody came back: %v, %v", v, ok)
	}
	if v, ok := res.Value("all of it"); !ok || v <= 0 {
		t.Errorf("it took %v, %v", v, ok)
	}
	// Two rounds, one away, one after it and one with no subscriptions for each of 400; one message for each of 200 that were away, and 200 direct ones.
	for _, row := range res.Rows {
		if row.Measure == "messages lost or too many" && row.Note != "of 2400" {
			t.Errorf("%q messages, want 2400", row.Note)
		}
	}
}
