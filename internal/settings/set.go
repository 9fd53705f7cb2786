package settings

import (
	"fmt"
	"strings"
)

// Set is the settings of one program: register them, then call Parse once.
// It is not safe for concurrent use.
type Set struct {
	program string
	all     []*setting
	byName  map[string]*setting
	config  string
}

// setting is one row of the table.
type setting struct {
	name string
	help string
	def  string // as a user would write it; "" prints no default
	kind string // what --help shows as the value's shape; "" for a bool

	store func(text string) error // checks text and puts it in its place

	secret   bool   // the value is never printed
	required string // how to make one; "" when there is a usable default
	list     bool   // a YAML sequence is allowed
	low      int64  // bounds of numbers, sizes and durations (ns)
	high     int64
	bounded  bool
	oneOf    []string
	check    func(text string) error
}

// New returns the empty settings of a program. The setting config, which names
// the YAML file, is always there.
func New(program string) *Set {
	s := &Set{program: program, byName: make(map[string]*setting)}
	s.String(&s.config, configName, "", "YAML file with settings, its keys are the flags' names")
	return s
}

// Names lists the registered settings in the order of registration.
func (s *Set) Names() []string {
	names := make([]string, len(s.all))
	for i, st := range s.all {
		names[i] = st.name
	}
	return names
}

// Env returns the environment variable of a setting: redis-url is IM_REDIS_URL.
func Env(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

const envPrefix = "IM_"

// add puts a row into the table. A name registered twice or missing in
// names.go is a mistake in the program, seen at its first start.
func (s *Set) add(st *setting, opts []Option) {
	if s.byName[st.name] != nil {
		panic(fmt.Sprintf("settings: %s is registered twice", st.name))
	}
	if st.name != configName && !mayRegister(s.program, st.name) {
		panic(fmt.Sprintf("settings: %s is not listed for %s in internal/settings/names.go", st.name, s.program))
	}
	for _, o := range opts {
		o(st)
	}
	s.all = append(s.all, st)
	s.byName[st.name] = st
}
