package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imtier/imtier/e2e/internal/client"
	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/rig"
)

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	keys := "IM_SIGNING_KEYS=" + rig.SigningKeys
	for _, tt := range []struct {
		name string
		path string
		env  []string
		want []string
	}{
		{"no keys", bin.IMServer, nil, []string{"IM_SIGNING_KEYS"}},
		{"short key", bin.IMServer, []string{"IM_SIGNING_KEYS=k:c2hvcnQ="}, []string{"IM_SIGNING_KEYS", "32"}},
		{"redis url", bin.IMServer, []string{keys, "IM_REDIS_URL=http://nowhere"}, []string{"IM_REDIS_URL"}},
		{"partitions", bin.IMServer, []string{keys, "IM_PARTITIONS=0"}, []string{"IM_PARTITIONS", "0", "1"}},
		{"duration", bin.IMServer, []string{keys, "IM_PING_INTERVAL=soon"}, []string{"IM_PING_INTERVAL", "soon"}},
		{"policy", bin.IMServer, []string{keys, "IM_DEVICE_POLICY=two"}, []string{"IM_DEVICE_POLICY", "two", "one-per-device"}},
		{"unknown", bin.IMServer, []string{keys, "IM_PING_INTERVALL=5s"}, []string{"IM_PING_INTERVALL", "IM_PING_INTERVAL"}},
		{"no api keys", bin.WebAPI, []string{keys}, []string{"IM_API_KEYS"}},
		{"webapi size", bin.WebAPI, []string{keys, "IM_API_KEYS=" + rig.APIKey, "IM_MAX_MESSAGE=many"}, []string{"IM_MAX_MESSAGE", "many"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(tt.path)
			cmd.Env = tt.env
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); err == nil || code != 2 {
				t.Errorf("exit code %d, %v; want 2", code, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the message lacks %q:\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "cmlnLXNpZ25pbmcta2V5") {
				t.Errorf("the message quotes the key:\n%s", out)
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1})
	check := func(p *proc.Program) (int, string) {
		cmd := exec.Command(p.Path, "healthcheck")
		cmd.Env = []string{"IM_ADMIN_LISTEN=" + p.Admin}
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for _, p := range []*proc.Program{r.Nodes[0].Program, r.WebAPI} {
		rig.Eventually(t, patience, p.Name+" is ready, and its health check says so", func() bool {
			code, out := check(p)
			if code != 0 {
				t.Logf("%s: the health check ends with %d: %s", p.Name, code, out)
			}
			return code == 0
		})
		p.Kill()
		if code, out := check(p); code != 1 || out == "" {
			t.Errorf("%s is dead, its health check ends with %d: %s", p.Name, code, out)
		}
	}
}

func TestPartitionMismatchSaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1})
	for _, old := range []*proc.Program{r.Nodes[0].Program, r.WebAPI} {
		p := proc.New(proc.Options{
			Name: "other", Path: old.Path, Admin: "127.0.0.1:0", Log: filepath.Join(t.TempDir(), "log"),
			Env: []string{
				"IM_PARTITIONS=128", "IM_LISTEN=127.0.0.1:0", "IM_ADMIN_LISTEN=127.0.0.1:0", "IM_REDIS_URL=" + r.RedisURL(),
				"IM_SIGNING_KEYS=" + rig.SigningKeys, "IM_API_KEYS=" + rig.APIKey,
			},
		})
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.End)
		code, err := p.Wait(t.Context())
		if err != nil || code == 0 {
			t.Errorf("%s: exit code %d, %v", old.Name, code, err)
		}
		for _, want := range []string{"256", "128", "partitions"} {
			if !strings.Contains(p.Output(), want) {
				t.Errorf("%s: the message lacks %q:\n%s", old.Name, want, p.Output())
			}
		}
	}
}

func TestRedisAwayAtStart(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1, NoRedis: true})
	programs := []*proc.Program{r.Nodes[0].Program, r.WebAPI}
	for _, p := range programs {
		rig.Eventually(t, patience, p.Name+" says that it is not ready", func() bool {
			code, body, err := p.Get(t.Context(), "/readyz")
			return err == nil && code == http.StatusServiceUnavailable && strings.Contains(string(body), "redis")
		})
		if code, _, err := p.Get(t.Context(), "/healthz"); err != nil || code != http.StatusOK {
			t.Errorf("%s: /healthz %d, %v", p.Name, code, err)
		}
		rig.Eventually(t, patience, p.Name+" logs why", func() bool {
			return strings.Contains(p.Output(), "redis is not reachable")
		})
	}
	r.StartRedis()
	r.WaitReady()
	r.Dial("client", client.V1)
}

func TestMetricsScrape(t *testing.T) {
	t.Parallel()
	r := rig.Start(t, bin, rig.Options{Nodes: 1})
	r.ConnectMany(3, "client")
	for _, tt := range []struct {
		p    *proc.Program
		want []string
	}{
		{r.Nodes[0].Program, []string{"imtier_connections 3", "go_goroutines"}},
		{r.WebAPI, []string{"go_goroutines"}},
	} {
		code, body, err := tt.p.Get(t.Context(), "/metrics")
		if err != nil || code != http.StatusOK {
			t.Fatal(fmt.Errorf("%s: %d, %w", tt.p.Name, code, err))
		}
		for _, want := range tt.want {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: /metrics lacks %q", tt.p.Name, want)
			}
		}
	}
	st, err := r.Nodes[0].State(t.Context())
	if err != nil || st.Connections != 3 || st.Clients != 3 {
		t.Errorf("/state: %+v, %v", st, err)
	}
}
