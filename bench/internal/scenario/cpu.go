package scenario

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/imtier/imtier/bench/internal/measure"
)

// spender is a process whose processor time is counted.
type spender struct {
	name string
	pid  int
	used time.Duration // at the last look
}

// account says which process spends how much on a kind of work.
type account struct {
	spenders []*spender
	spent    map[string][]time.Duration // by kind of work, one per spender
}

// newAccount counts imbench itself, which generates the load, and what is added.
func newAccount() *account {
	a := &account{spent: make(map[string][]time.Duration)}
	a.add("generator", os.Getpid())
	return a
}

func (a *account) add(name string, pid int) {
	a.spenders = append(a.spenders, &spender{name: name, pid: pid})
}

// begin forgets what has been spent since the last look.
func (a *account) begin() error { return a.end("") }

// end adds what has been spent since the last look to a kind of work; "" is none.
func (a *account) end(kind string) error {
	sums := a.spent[kind]
	if sums == nil {
		sums = make([]time.Duration, len(a.spenders))
	}
	for i, s := range a.spenders {
		now, err := measure.CPU(s.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		sums[i] += now - s.used
		s.used = now
	}
	if kind != "" {
		a.spent[kind] = sums
	}
	return nil
}

// each tells the microseconds of all and of each process for one of n pieces of work.
func (a *account) each(kind string, n int64) string {
	var total float64
	var parts []string
	for i, d := range a.spent[kind] {
		us := float64(d.Microseconds()) / float64(max(n, 1))
		total += us
		if us >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", a.spenders[i].name, us))
		}
	}
	return fmt.Sprintf("%.1f: %s", total, strings.Join(parts, ", "))
}
