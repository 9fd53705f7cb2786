package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// A backend that keeps its own picture of who is online is killed, stays away while clients come and go, and has the
// right picture soon after it is started again. A minute with RIG_FULL, some seconds without.
func TestABackendThatWasAwayCatchesUp(t *testing.T) {
	t.Parallel()
	away := 8 * time.Second
	if rig.Full() {
		away = time.Minute
	}
	r := rig.Start(t, bin, rig.Options{Nodes: 2})
	dir := t.TempDir()
	path := filepath.Join(dir, "presence")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/imtier/imtier/examples/presence").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	addr := net.JoinHostPort(r.Host, "9090")
	backend := proc.New(proc.Options{
		Name: "presence", Path: path, Args: []string{"-file", filepath.Join(dir, "log"), "-listen", addr},
		Env: append(os.Environ(), "IM_REDIS_URL="+r.RedisURL()), Log: filepath.Join(dir, "presence.log"),
	})
	t.Cleanup(func() {
		backend.Kill()
		if err := backend.Err(); err != nil || t.Failed() {
			t.Errorf("%v\n%s", err, backend.Output())
		}
	})
	start := func() {
		if err := backend.Start(); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	picture := func() (ids []string, err error) {
		resp, err := client.Get("http://" + addr + "/online")
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return ids, json.NewDecoder(resp.Body).Decode(&ids)
	}
	agrees := func(what string) {
		t.Helper()
		var problem string
		defer func() {
			if t.Failed() {
				t.Log(problem)
			}
		}()
		took := rig.Eventually(t, time.Minute, what, func() bool {
			got, err := picture()
			want, err2 := r.API.OnlineClients(t.Context())
			slices.Sort(want)
			problem = fmt.Sprintf("it says %d are online (%v), webapi %d (%v)", len(got), err, len(want), err2)
			return err == nil && err2 == nil && slices.Equal(got, want)
		})
		t.Logf("%s after %v, %s", what, took, problem)
	}

	churn := r.NewChurn(100, 1)
	churn.Run(2*time.Second, 50, 1) // before the backend exists
	start()
	agrees("the first picture is right")
	churn.Run(2*time.Second, 50, 2)
	backend.Kill()
	n := churn.Run(away, 50, 3)
	var before []string
	rig.Sure(t, func() (err error) {
		before, err = r.API.OnlineClients(t.Context())
		return err
	})
	if len(before) == 0 {
		t.Fatal("nobody is online")
	}
	t.Logf("%d came or went in %v", n, away)
	start()
	agrees("the picture is right again")
}
