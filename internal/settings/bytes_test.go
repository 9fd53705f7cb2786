package settings

import (
	"math"
	"testing"
)

func TestParseBytes(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"65536", 65536, true},
		{"10B", 10, true},
		{"64KiB", 64 << 10, true},
		{" 1 mib ", 1 << 20, true},
		{"2GiB", 2 << 30, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"8589934592GiB", 0, false},
		{"", 0, false},
		{"KiB", 0, false},
		{"B", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5MiB", 0, false},
		{"64KB", 0, false},
		{"64K", 0, false},
		{"1KiBKiB", 0, false},
		{"0x10", 0, false},
		{"1_000", 0, false},
	}
	for _, tt := range tests {
		got, err := ParseBytes(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1025: "1025", 3 << 20: "3MiB", 1 << 40: "1024GiB"} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, seed := range []string{"0", "64KiB", "1 MiB", "9223372036854775807", "-1", "8589934592GiB", "b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseBytes(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseBytes(%q) = %d", text, n)
		}
		again, err := ParseBytes(FormatBytes(n))
		if err != nil || again != n {
			t.Fatalf("ParseBytes(FormatBytes(%d)) = %d, %v", n, again, err)
		}
	})
}
