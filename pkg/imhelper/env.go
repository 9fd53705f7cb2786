package imhelper

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// OptionsFromEnv reads Options from the environment variables that imserver and webapi read: IM_REDIS_URL, IM_SIGNING_KEYS,
// IM_PARTITIONS, IM_HISTORY_SIZE, IM_HISTORY_TTL, IM_EVENTS_SIZE and IM_MAX_MESSAGE. What is not set stays zero, which
// means the default, but for RedisURL, which New requires. The error names the variable that cannot be read.
func OptionsFromEnv() (Options, error) {
	o := Options{RedisURL: os.Getenv("IM_REDIS_URL"), SigningKeys: os.Getenv("IM_SIGNING_KEYS")}
	for _, v := range []struct {
		name string
		set  func(text string) error
	}{
		{"IM_PARTITIONS", number(&o.Partitions)},
		{"IM_HISTORY_SIZE", number(&o.HistorySize)},
		{"IM_HISTORY_TTL", duration(&o.HistoryTTL)},
		{"IM_EVENTS_SIZE", number(&o.EventsSize)},
		{"IM_MAX_MESSAGE", size(&o.MaxMessage)},
	} {
		text := os.Getenv(v.name)
		if text == "" {
			continue
		}
		if err := v.set(text); err != nil {
			return Options{}, fmt.Errorf("imhelper: %s is %.80q: %w", v.name, text, err)
		}
	}
	return o, nil
}

func number(to *int) func(string) error {
	return func(text string) (err error) {
		if *to, err = strconv.Atoi(text); err != nil || *to < 1 {
			return errors.New("want a whole number from 1 on")
		}
		return nil
	}
}

func duration(to *time.Duration) func(string) error {
	return func(text string) (err error) {
		if *to, err = time.ParseDuration(text); err != nil || *to <= 0 {
			return errors.New("want a duration such as 24h")
		}
		return nil
	}
}

// size reads bytes, as the programs do: a whole number, alone or with B, KiB, MiB or GiB.
func size(to *int) func(string) error {
	units := []struct {
		name  string
		bytes int
	}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"B", 1}}
	return func(text string) error {
		digits, bytes := strings.ToUpper(strings.TrimSpace(text)), 1
		for _, u := range units {
			if rest, ok := strings.CutSuffix(digits, u.name); ok {
				digits, bytes = strings.TrimRight(rest, " "), u.bytes
				break
			}
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > math.MaxInt/bytes {
			return errors.New("want a whole number of bytes, or one with KiB, MiB or GiB such as 64KiB")
		}
		*to = n * bytes
		return nil
	}
}
