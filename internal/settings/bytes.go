package settings

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// byteUnits from the largest to the smallest; ParseBytes takes the first
// suffix that fits, so "B" has to come last.
var byteUnits = []struct {
	name string
	size int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"B", 1},
}

var errBytes = errors.New("want a whole number of bytes, or one with KiB, MiB or GiB such as 64KiB")

// ParseBytes reads a size in bytes: a whole number, alone or with the unit B,
// KiB, MiB or GiB (powers of 1024) in any case.
func ParseBytes(text string) (int64, error) {
	digits, size := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits {
		at := len(digits) - len(u.name)
		if at > 0 && strings.EqualFold(digits[at:], u.name) {
			digits, size = strings.TrimRight(digits[:at], " "), u.size
			break
		}
	}
	// ParseUint takes no sign; 63 bits because the result is signed.
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/size) {
		return 0, errBytes
	}
	return int64(n) * size, nil
}

// FormatBytes writes n with the largest unit that divides it; ParseBytes reads
// it back. n must not be negative.
func FormatBytes(n int64) string {
	for _, u := range byteUnits[:len(byteUnits)-1] {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
