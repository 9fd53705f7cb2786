// Package timerslack lets a program's timers be late, so that it wakes up less often.
package timerslack

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// slack is less than anybody waits for who waits by a timer: our shortest is 5 ms, but for commands that gather on their way to
// Redis, of which several are under way then.
const slack = time.Millisecond

// Of prctl(2).
const (
	prSetTimerSlack = 29
	prGetTimerSlack = 30
)

// Widen lets the kernel wake this process, and those that it starts, up to a millisecond later than asked; programs have 50 µs
// otherwise. A process whose slack is less is started over, with the same id, arguments and environment: so call it before anything
// else. It returns in the process that has the slack, or with the reason why it stays as it was.
//
// It is for one thread of Go's runtime (sysmon), which looks after the others every 20 µs for as long as a program does something,
// and a while longer. In one that works for some microseconds, waits, and works again, these looks cost as much as the work: half
// of an idle node's processor time. With a slack it looks as rarely as that. A slack belongs to a thread, and threads have that of
// the one that made them; this one is there before any code of ours, and other threads may be changed with privileges only.
// But execve keeps the slack of the thread that calls it.
func Widen() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if get() >= slack {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(slack), 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("timer slack: %w", errno)
	}
	if now := get(); now < slack { // a thread with real-time priority has none
		return fmt.Errorf("timer slack: it stays at %v", now)
	}
	return fmt.Errorf("timer slack: start over: %w", syscall.Exec(path, os.Args, os.Environ()))
}

// get returns the slack of this thread; zero when the system has none.
func get() time.Duration {
	ns, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(ns)
}
