package settings

import (
	"errors"
	"fmt"
	"maps"
)

var (
	// ErrHelp is returned by Parse when --help or -h was given.
	ErrHelp = errors.New("help was asked for")
	// ErrInvalid is wrapped by every other error of Parse: the user has to
	// change something, so programs exit with code 2.
	ErrInvalid = errors.New("invalid settings")
)

// given is a value on its way to a setting, and where it came from.
type given struct {
	text  string
	where string // "--redis-url", "IM_REDIS_URL", "imtier.yaml:3"
}

// problems is the error of Parse: one line each.
type problems []error

func (p problems) Error() string   { return errors.Join(p...).Error() }
func (p problems) Unwrap() []error { return append([]error{ErrInvalid}, p...) }

// Parse reads args (without the program's name) and environ (as os.Environ
// gives it), then the file they name, and fills the registered variables. The
// error is ErrHelp, or wraps ErrInvalid and lists every problem.
func (s *Set) Parse(args, environ []string) error {
	fromFlags, bad := s.readFlags(args)
	if errors.Is(errors.Join(bad...), ErrHelp) {
		return ErrHelp
	}
	fromEnv, badEnv := s.readEnv(environ)
	bad = append(bad, badEnv...)

	values := make(map[string]given, len(s.all))
	path, isGiven := fromFlags[configName]
	if !isGiven {
		path, isGiven = fromEnv[configName]
	}
	if isGiven {
		fromFile, badFile := s.readFile(path.text)
		bad = append(bad, badFile...)
		maps.Copy(values, fromFile)
	}
	maps.Copy(values, fromEnv)
	maps.Copy(values, fromFlags)
	bad = append(bad, s.apply(values)...)
	if len(bad) > 0 {
		return problems(bad)
	}
	return nil
}

// apply stores the winning values and looks for required ones that are absent.
func (s *Set) apply(values map[string]given) (bad []error) {
	for _, st := range s.all {
		v, ok := values[st.name]
		if !ok || (v.text == "" && st.required != "") {
			if st.required != "" {
				bad = append(bad, fmt.Errorf("%s (--%s) is required: %s", Env(st.name), st.name, st.required))
			}
			continue
		}
		err := error(nil)
		if st.check != nil {
			err = st.check(v.text)
		}
		if err == nil {
			err = st.store(v.text)
		}
		if err != nil {
			bad = append(bad, st.badValue(v, err))
		}
	}
	return bad
}

// badValue names the variable, where its value came from, the value unless it
// is secret, and what is allowed.
func (st *setting) badValue(v given, err error) error {
	from := ""
	if v.where != Env(st.name) {
		from = " (" + v.where + ")"
	}
	if st.secret {
		return fmt.Errorf("%s%s: bad value, not shown: %s", Env(st.name), from, redact(err.Error(), v.text))
	}
	return fmt.Errorf("%s%s: bad value %q: %w", Env(st.name), from, v.text, err)
}
