package report

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// Lines of progress follow one another on a terminal, and elsewhere come seldom enough for a log.
	terminalInterval = time.Second
	logInterval      = 10 * time.Second
)

// Live is what the clients of a benchmark are doing at a moment.
type Live struct {
	Active   int64 // open sockets
	Errors   int64 // so far: handshakes that failed, connections that broke
	Messages int64 // that have arrived so far
}

// Progress tells people that a benchmark works: on a terminal in one line that is written over.
type Progress struct {
	out      io.Writer
	terminal bool
	begin    time.Time

	mu    sync.Mutex
	shown bool // a line is there that will be written over
}

// NewProgress tells it to f, which is standard error as a rule.
func NewProgress(f *os.File) *Progress {
	info, err := f.Stat()
	return &Progress{out: f, begin: time.Now(), terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Say writes a line that stays.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.line("\n", format, args...)
}

// line writes; if that fails there is nobody to tell. The caller holds mu.
func (p *Progress) line(end, format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%6.1f s  %s%s", time.Since(p.begin).Seconds(), fmt.Sprintf(format, args...), end)
}

// clear takes away the line that is written over. The caller holds mu.
func (p *Progress) clear() {
	if p.shown {
		_, _ = io.WriteString(p.out, "\r\x1b[K") // as in line
		p.shown = false
	}
}

// Watch shows what look returns, until the function that it returns is called. look may say that it does not know.
func (p *Progress) Watch(look func() (Live, bool)) (stop func()) {
	interval := logInterval
	if p.terminal {
		interval = terminalInterval
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		before, at := Live{}, time.Now()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			now, known := look()
			if !known {
				continue
			}
			p.show(before, now, time.Since(at))
			before, at = now, time.Now()
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() {
			close(end)
			<-ended
			p.mu.Lock()
			defer p.mu.Unlock()
			p.clear()
		})
	}
}

// show writes one line of progress.
func (p *Progress) show(before, now Live, passed time.Duration) {
	rate := func(a, b int64) string { return Number(float64(int64(float64(b-a) / passed.Seconds()))) }
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	end := "\n"
	if p.terminal {
		end, p.shown = "", true
	}
	p.line(end, "active %s (%s/s), errors %d, messages %s (%s/s)", Number(float64(now.Active)), rate(before.Active, now.Active),
		now.Errors, Number(float64(now.Messages)), rate(before.Messages, now.Messages))
}
