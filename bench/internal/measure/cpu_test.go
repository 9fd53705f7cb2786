package measure

import (
	"os"
	"testing"
	"time"
)

func TestCPU(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const work = 100 * time.Millisecond
	for end := time.Now().Add(20 * time.Second); ; { // however busy the machine is
		now, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now-before >= work {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v of processor time counted in 20 s of work", now-before)
		}
	}
	if _, err := CPU(-1); err == nil {
		t.Error("no error for a process that does not exist")
	}
}
