package settings

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has one setting of every type.
type sample struct {
	text     string
	level    string
	on       bool
	count    int
	size     int
	span     time.Duration
	list     []string
	listen   string
	policy   int
	token    string
	required string
}

// newSample registers a sample with a program that may register any name.
func newSample() (*Set, *sample) {
	s, v := New("testtool"), &sample{}
	s.String(&v.text, "text", "plain", "some text")
	s.String(&v.level, "level", "low", "a choice", OneOf("low", "high"))
	s.Bool(&v.on, "on", false, "a switch")
	s.Int(&v.count, "count", 256, "a number", Between(1, 4096))
	s.Bytes(&v.size, "size", 64<<10, "a size", Between(1<<10, 1<<20))
	s.Duration(&v.span, "span", 25*time.Second, "a span", Within(time.Second, time.Hour))
	s.List(&v.list, "list", []string{"a"}, "a list")
	s.Listen(&v.listen, "listen", ":6001", "a listener")
	Custom(s, &v.policy, "policy", "max:1", "a policy", func(text string) (int, error) {
		if n, ok := strings.CutPrefix(text, "max:"); ok && len(n) == 1 {
			return int(n[0] - '0'), nil
		}
		return 0, errors.New("want max:N")
	})
	s.String(&v.token, "token", "", "a secret", Secret(), Check(func(text string) error {
		if strings.Contains(text, "bad") {
			return errors.New("want a good token, not " + text)
		}
		return nil
	}))
	s.String(&v.required, "needed", "", "has to be there", Required("make one with IM_NEEDED=$(date)"))
	return s, v
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "imtier.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsStayWithoutInput(t *testing.T) {
	s, v := newSample()
	if err := s.Parse(nil, []string{"IM_NEEDED=x", "PATH=/bin"}); err != nil {
		t.Fatal(err)
	}
	want := &sample{text: "plain", level: "low", count: 256, size: 65536, span: 25 * time.Second,
		list: []string{"a"}, listen: ":6001", policy: 1, required: "x"}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := write(t, "text: file\nlevel: high\ncount: 1\nneeded: file\non: yes\nlist: [x, y]\nsize: 2KiB\n")
	tests := []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"file alone", nil, nil, "file"},
		{"environment over file", nil, []string{"IM_TEXT=env"}, "env"},
		{"flag over both", []string{"--text=flag"}, []string{"IM_TEXT=env"}, "flag"},
		{"flag as two words", []string{"--text", "two"}, nil, "two"},
		{"last flag counts", []string{"--text=a", "--text=b"}, nil, "b"},
		{"empty variable is not set", nil, []string{"IM_TEXT="}, "file"},
		{"flag may be empty", []string{"--text="}, []string{"IM_TEXT=env"}, ""},
		{"value with equals sign", []string{"--text=a=b"}, nil, "a=b"},
		{"a loser is not checked", []string{"--text=flag", "--count=2"}, []string{"IM_COUNT=many"}, "flag"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, v := newSample()
			if err := s.Parse(append(tt.args, "--config", file), tt.env); err != nil {
				t.Fatal(err)
			}
			if v.text != tt.want {
				t.Errorf("text = %q, want %q", v.text, tt.want)
			}
			if !v.on || v.level != "high" || v.size != 2048 || !reflect.DeepEqual(v.list, []string{"x", "y"}) {
				t.Errorf("values of the file are lost: %+v", v)
			}
		})
	}
}

func TestSwitchesAsFlags(t *testing.T) {
	tests := []struct {
		args []string
		want bool
	}{
		{[]string{"--on"}, true},
		{[]string{"--on", "--count=2"}, true},
		{[]string{"--on", "false", "--count=2"}, false},
		{[]string{"--on=no"}, false},
		{[]string{"--on", "true"}, true},
	}
	for _, tt := range tests {
		s, v := newSample()
		if err := s.Parse(tt.args, []string{"IM_NEEDED=x", "IM_ON=false"}); err != nil || v.on != tt.want {
			t.Errorf("%v: on = %v, %v, want %v", tt.args, v.on, err, tt.want)
		}
	}
}

func TestConfigPathFromEnvironment(t *testing.T) {
	s, v := newSample()
	if err := s.Parse(nil, []string{"IM_CONFIG=" + write(t, "needed: file\n")}); err != nil {
		t.Fatal(err)
	}
	if v.required != "file" {
		t.Errorf("needed = %q, want it from the file", v.required)
	}
}

func TestGoodValues(t *testing.T) {
	tests := []struct {
		env  string
		got  func(*sample) any
		want any
	}{
		{"IM_ON=TRUE", func(v *sample) any { return v.on }, true},
		{"IM_ON=on", func(v *sample) any { return v.on }, true},
		{"IM_COUNT=4096", func(v *sample) any { return v.count }, 4096},
		{"IM_SIZE=1024", func(v *sample) any { return v.size }, 1024},
		{"IM_SIZE=1mib", func(v *sample) any { return v.size }, 1 << 20},
		{"IM_SPAN=1h", func(v *sample) any { return v.span }, time.Hour},
		{"IM_LIST=a, b,,c", func(v *sample) any { return v.list }, []string{"a", "b", "c"}},
		{"IM_LISTEN=[::1]:0", func(v *sample) any { return v.listen }, "[::1]:0"},
		{"IM_POLICY=max:7", func(v *sample) any { return v.policy }, 7},
	}
	for _, tt := range tests {
		t.Run(tt.env, func(t *testing.T) {
			s, v := newSample()
			if err := s.Parse(nil, []string{"IM_NEEDED=x", tt.env}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(tt.got(v), tt.want) {
				t.Errorf("got %v, want %v", tt.got(v), tt.want)
			}
		})
	}
}

func TestProblemsSayWhatToDo(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  []string
		file string
		want []string // all of them in the message
		hide []string // none of them
	}{
		{name: "not in the list", env: []string{"IM_LEVEL=mid"}, want: []string{`IM_LEVEL: bad value "mid": want one of low, high`}},
		{name: "not a switch", env: []string{"IM_ON=maybe"}, want: []string{"IM_ON", `"maybe"`, "true or false"}},
		{name: "not a number", env: []string{"IM_COUNT=1e3"}, want: []string{"IM_COUNT", `"1e3"`, "a whole number, from 1 to 4096"}},
		{name: "number too small", env: []string{"IM_COUNT=0"}, want: []string{"from 1 to 4096"}},
		{name: "number too big", args: []string{"--count", "4097"}, want: []string{"IM_COUNT (--count)", "from 1 to 4096"}},
		{name: "size", env: []string{"IM_SIZE=64kb"}, want: []string{"IM_SIZE", "64kb", "from 1KiB to 1MiB"}},
		{name: "size out of bounds", env: []string{"IM_SIZE=1GiB"}, want: []string{"from 1KiB to 1MiB"}},
		{name: "duration without unit", env: []string{"IM_SPAN=25"}, want: []string{"IM_SPAN", "25s", "from 1s to 1h"}},
		{name: "negative duration", env: []string{"IM_SPAN=-5s"}, want: []string{"from 1s to 1h"}},
		{name: "listener", env: []string{"IM_LISTEN=6001"}, want: []string{"IM_LISTEN", "host:port"}},
		{name: "listener's port", env: []string{"IM_LISTEN=:65536"}, want: []string{"from 0 to 65535"}},
		{name: "custom", env: []string{"IM_POLICY=min"}, want: []string{"IM_POLICY", `"min"`, "want max:N"}},
		{name: "secret", env: []string{"IM_TOKEN=k1:verybad"}, want: []string{"IM_TOKEN", "want a good token"}, hide: []string{"verybad"}},
		{name: "secret as flag", args: []string{"--token", "verybad"}, want: []string{"IM_TOKEN (--token)"}, hide: []string{"verybad"}},
		{name: "secret in file", file: "token: verybad\n", want: []string{"imtier.yaml:1"}, hide: []string{"verybad"}},
		{name: "secret as mapping", file: "token: {verybad: 1}\n", want: []string{"imtier.yaml:1: token: want a plain value"}, hide: []string{"verybad"}},
		{name: "missing", env: []string{"IM_NEEDED="}, want: []string{"IM_NEEDED (--needed) is required: make one with"}},
		{name: "missing, empty flag", args: []string{"--needed="}, want: []string{"IM_NEEDED (--needed) is required"}},
		{name: "unknown flag", args: []string{"--cuont=1"}, want: []string{"unknown flag --cuont: did you mean --count?", "--help"}},
		{name: "unknown flag, far", args: []string{"--frobnicate", "secret"}, want: []string{"unknown flag --frobnicate: remove it"}, hide: []string{"argument", "secret", "mean"}},
		{name: "flag of another program", args: []string{"--api-keys=k"}, want: []string{"unknown flag --api-keys"}},
		{name: "flag without value", args: []string{"--count"}, want: []string{"--count needs a value"}},
		{name: "word", args: []string{"--count=1", "oops"}, want: []string{"argument 2 is not a flag"}, hide: []string{"oops"}},
		{name: "unknown variable", env: []string{"IM_CUONT=1"}, want: []string{"unknown variable IM_CUONT: did you mean IM_COUNT?"}},
		{name: "slip in another's variable", env: []string{"IM_APIKEYS=1"}, want: []string{"unknown variable IM_APIKEYS: did you mean IM_API_KEYS?"}},
		{name: "variable in wrong case", env: []string{"IM_count=1"}, want: []string{"unknown variable IM_count"}},
		{name: "variable with hyphen", env: []string{"IM_API-KEYS=1"}, want: []string{"did you mean IM_API_KEYS?"}},
		{name: "unknown key", file: "text: a\ncuont: 1\n", want: []string{"imtier.yaml:2: unknown setting cuont: did you mean count?"}},
		{name: "key twice", file: "text: a\ntext: b\n", want: []string{"imtier.yaml:2: text is there twice"}},
		{name: "key without value", file: "text:\n", want: []string{"imtier.yaml:1: text: has no value"}},
		{name: "sequence for a text", file: "text: [a]\n", want: []string{"imtier.yaml:1: text: want a plain value"}},
		{name: "comma in a sequence", file: "list: ['a,b']\n", want: []string{"contains a comma"}},
		{name: "nested sequence", file: "list: [[a]]\n", want: []string{"list: want a plain value"}},
		{name: "file names a file", file: "config: other.yaml\n", want: []string{"cannot name another"}},
		{name: "file is no mapping", file: "- text\n", want: []string{"want lines of the form name: value"}},
		{name: "file has two documents", file: "text: a\n---\ntext: b\n", want: []string{"more than one YAML document"}},
		{name: "file is no YAML", file: "text: [a\n", want: []string{"imtier.yaml", "line 1"}},
		{name: "file too large", file: "text: " + strings.Repeat("a", maxFile), want: []string{"larger than 1MiB"}},
		{name: "no such file", args: []string{"--config", "/nowhere/a.yaml"}, want: []string{"IM_CONFIG", "/nowhere/a.yaml"}},
		{name: "all at once", args: []string{"--nope"}, env: []string{"IM_COUNT=x", "IM_ON=x"}, want: []string{"--nope", "IM_COUNT", "IM_ON"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newSample()
			args := tt.args
			if tt.file != "" {
				args = append(args, "--config", write(t, tt.file))
			}
			err := s.Parse(args, append([]string{"IM_NEEDED=x"}, tt.env...))
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("err = %v, want ErrInvalid", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in the message:\n%v", w, err)
				}
			}
			for _, h := range tt.hide {
				if strings.Contains(err.Error(), h) {
					t.Errorf("%q must not be in the message:\n%v", h, err)
				}
			}
		})
	}
}

func TestUnboundedNumbersStillHaveASense(t *testing.T) {
	for _, env := range []string{"IM_WAIT=-1s", "IM_ROOM=-1", "IM_ROOM=1.5KiB"} {
		s := New("testtool")
		s.Duration(new(time.Duration), "wait", time.Second, "a span")
		s.Bytes(new(int), "room", 0, "a size")
		if err := s.Parse(nil, []string{env}); err == nil || strings.Contains(err.Error(), "from") {
			t.Errorf("%s: err = %v", env, err)
		}
	}
}

func TestOtherProgramsSettingsAreSkipped(t *testing.T) {
	s := New("imserver")
	env := []string{"IM_API_KEYS=dev-key", "IM_FREEIM_API=true", "IM_REDIS_URL=redis://r",
		"IM_CONFIG=" + write(t, "demo: true\nuser-jwt-key: k\n")}
	if err := s.Parse(nil, env); err != nil {
		t.Error(err)
	}
}

func TestEmptyFileIsFine(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		s := New("testtool")
		if err := s.Parse([]string{"--config", write(t, text)}, nil); err != nil {
			t.Errorf("file %q: %v", text, err)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, flag := range []string{"-h", "--help"} {
		s, _ := newSample()
		if err := s.Parse([]string{"--nope", flag}, nil); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: err = %v, want ErrHelp", flag, err)
		}
	}
	s, _ := newSample()
	var b strings.Builder
	if err := s.Usage(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Usage: testtool", "--config TEXT", "--size SIZE", "IM_SIZE", "default 64KiB",
		"default 25s", "--on  ", "one of low, high", "required: make one with"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in the help:\n%s", want, b.String())
		}
	}
}

func TestRegistrationMistakesPanic(t *testing.T) {
	tests := map[string]func(){
		"twice":      func() { s := New("testtool"); s.Bool(new(bool), "a", false, ""); s.Bool(new(bool), "a", false, "") },
		"not listed": func() { New("imserver").String(new(string), "api-keys", "", "") },
		"bad default": func() {
			Custom(New("testtool"), new(int), "a", "x", "", func(string) (int, error) { return 0, errors.New("no") })
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
