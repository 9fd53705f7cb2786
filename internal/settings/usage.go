package settings

import (
	"fmt"
	"io"
	"strings"
)

// Usage writes what --help prints: every setting with its variable, its
// meaning and its default.
func (s *Set) Usage(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `Usage: %s [--name value]...

Every setting is a flag, an environment variable and a key of the optional YAML
file that --config names. A flag wins over the environment, the environment over
the file, the file over the default.

`, s.program)
	for _, st := range s.all {
		flag := "--" + st.name
		if st.kind != "" {
			flag += " " + st.kind
		}
		fmt.Fprintf(&b, "  %-28s %s\n        %s%s\n", flag, Env(st.name), st.help, st.note())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// note is the bracket after the help text: values, bounds, default.
func (st *setting) note() string {
	var parts []string
	if st.oneOf != nil {
		parts = append(parts, "one of "+strings.Join(st.oneOf, ", "))
	}
	if st.required != "" {
		parts = append(parts, "required: "+st.required)
	} else if st.def != "" {
		parts = append(parts, "default "+st.def)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}
