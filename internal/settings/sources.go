package settings

import (
	"fmt"
	"strings"
)

// readFlags takes --name=value, --name value and, for a Bool, --name alone.
func (s *Set) readFlags(args []string) (values map[string]given, bad []error) {
	values = make(map[string]given)
	for at := 0; at < len(args); at++ {
		arg := args[at]
		name, text, hasText := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if arg == "-h" || arg == "--help" || arg == "-help" {
			return nil, []error{ErrHelp}
		}
		if !strings.HasPrefix(arg, "-") || name == "" {
			// Not quoted: it may be a piece of a secret with a blank in it.
			bad = append(bad, fmt.Errorf("argument %d is not a flag: write --name value, %s", at+1, listed))
			continue
		}
		st := s.byName[name]
		if st == nil {
			bad = append(bad, fmt.Errorf("unknown flag --%s: %s", name, s.advice("--", name, func(n string) string { return n })))
			if !hasText && at+1 < len(args) && !strings.HasPrefix(args[at+1], "-") {
				at++ // most likely its value
			}
			continue
		}
		switch {
		case hasText:
		case st.kind == "" && (at+1 == len(args) || strings.HasPrefix(args[at+1], "-")):
			text = "true"
		case at+1 == len(args):
			bad = append(bad, fmt.Errorf("--%s needs a value", name))
			continue
		default:
			at++
			text = args[at]
		}
		values[name] = given{text: text, where: "--" + name}
	}
	return values, bad
}

// readEnv takes the IM_* variables. Those of the other programs are skipped.
func (s *Set) readEnv(environ []string) (values map[string]given, bad []error) {
	values = make(map[string]given)
	for _, pair := range environ {
		env, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(env, envPrefix) {
			continue
		}
		name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(env, envPrefix), "_", "-"))
		switch {
		case text == "":
			delete(values, name) // the last one of a variable that is there twice
		case s.byName[name] != nil && Env(name) == env:
			values[name] = given{text: text, where: env}
		case isForeign(name) && Env(name) == env:
		default:
			bad = append(bad, fmt.Errorf("unknown variable %s: %s", env, s.advice("", env, Env)))
		}
	}
	return values, bad
}
