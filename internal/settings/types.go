package settings

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Option refines one setting.
type Option func(*setting)

// Secret keeps the value out of every message.
func Secret() Option { return func(st *setting) { st.secret = true } }

// Required refuses to start without a value; how tells the user to make one.
func Required(how string) Option { return func(st *setting) { st.required = how } }

// Between bounds an Int or Bytes setting, both ends included.
func Between(low, high int) Option {
	return func(st *setting) { st.low, st.high, st.bounded = int64(low), int64(high), true }
}

// Within bounds a Duration setting, both ends included.
func Within(low, high time.Duration) Option {
	return func(st *setting) { st.low, st.high, st.bounded = int64(low), int64(high), true }
}

// OneOf allows only the given values of a String setting.
func OneOf(values ...string) Option { return func(st *setting) { st.oneOf = values } }

// Check adds a test of the text. Its error says what is allowed ("want …"),
// and must not repeat a secret.
func Check(f func(text string) error) Option { return func(st *setting) { st.check = f } }

// String registers a text setting and puts def into p.
func (s *Set) String(p *string, name, def, help string, opts ...Option) {
	*p = def
	st := &setting{name: name, def: def, help: help, kind: "TEXT"}
	st.store = func(text string) error {
		if st.oneOf != nil && !slices.Contains(st.oneOf, text) {
			return fmt.Errorf("want one of %s", strings.Join(st.oneOf, ", "))
		}
		*p = text
		return nil
	}
	s.add(st, opts)
}

// Listen registers the address of a listener: host:port, the host may be
// absent (all interfaces), port 0 takes a free one.
func (s *Set) Listen(p *string, name, def, help string) {
	s.String(p, name, def, help, func(st *setting) {
		st.kind, st.check = "HOST:PORT", checkListen
	})
}

func checkListen(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("want host:port or :port, with a port from 0 to 65535 (0 takes a free one)")
	}
	return nil
}

// Bool registers a switch; --name alone turns it on.
func (s *Set) Bool(p *bool, name string, def bool, help string, opts ...Option) {
	*p = def
	s.add(&setting{name: name, def: strconv.FormatBool(def), help: help, store: func(text string) error {
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			*p = true
		case "false", "no", "off", "0":
			*p = false
		default:
			return errors.New("want true or false")
		}
		return nil
	}}, opts)
}

// Int registers a whole number.
func (s *Set) Int(p *int, name string, def int, help string, opts ...Option) {
	*p = def
	st := &setting{name: name, def: strconv.Itoa(def), help: help, kind: "NUMBER"}
	st.store = func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || st.outside(int64(n)) {
			return st.want("a whole number", strconv.FormatInt)
		}
		*p = n
		return nil
	}
	s.add(st, opts)
}

// Bytes registers a size; see ParseBytes for how it is written.
func (s *Set) Bytes(p *int, name string, def int, help string, opts ...Option) {
	*p = def
	st := &setting{name: name, def: FormatBytes(int64(def)), help: help, kind: "SIZE"}
	st.store = func(text string) error {
		n, err := ParseBytes(text)
		if err != nil || st.outside(n) || int64(int(n)) != n {
			return st.want("a size in bytes, such as 65536, 64KiB or 1MiB",
				func(n int64, _ int) string { return FormatBytes(n) })
		}
		*p = int(n)
		return nil
	}
	s.add(st, opts)
}

// Duration registers a time span in Go's notation; negative ones are refused.
func (s *Set) Duration(p *time.Duration, name string, def time.Duration, help string, opts ...Option) {
	*p = def
	st := &setting{name: name, def: formatDuration(def), help: help, kind: "DURATION"}
	st.store = func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || st.outside(int64(d)) {
			return st.want("a duration, such as 500ms, 25s or 24h",
				func(n int64, _ int) string { return formatDuration(time.Duration(n)) })
		}
		*p = d
		return nil
	}
	s.add(st, opts)
}

// List registers values separated by commas (in YAML also a sequence). Blanks
// around values and empty values are dropped.
func (s *Set) List(p *[]string, name string, def []string, help string, opts ...Option) {
	*p = def
	s.add(&setting{name: name, def: strings.Join(def, ","), help: help, kind: "LIST", list: true,
		store: func(text string) error {
			*p = splitList(text)
			return nil
		}}, opts)
}

func splitList(text string) []string {
	var values []string
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// Custom registers a setting of any type. parse must accept def unless def is
// empty, which leaves p as it is; its error says what is allowed ("want …").
func Custom[T any](s *Set, p *T, name, def, help string, parse func(text string) (T, error), opts ...Option) {
	st := &setting{name: name, def: def, help: help, kind: "TEXT", store: func(text string) error {
		v, err := parse(text)
		if err != nil {
			return err
		}
		*p = v
		return nil
	}}
	if def != "" {
		if err := st.store(def); err != nil {
			panic(fmt.Sprintf("settings: default of %s: %v", name, err))
		}
	}
	s.add(st, opts)
}

func (st *setting) outside(n int64) bool {
	return st.bounded && (n < st.low || n > st.high)
}

// want says what is allowed, with the bounds if there are any.
func (st *setting) want(what string, format func(n int64, base int) string) error {
	if !st.bounded {
		return errors.New("want " + what)
	}
	return fmt.Errorf("want %s, from %s to %s", what, format(st.low, 10), format(st.high, 10))
}

// formatDuration drops the zero units that time.Duration prints: 24h, not 24h0m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
