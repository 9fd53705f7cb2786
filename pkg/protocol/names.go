package protocol

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ErrBadName is wrapped by every error of the Check functions.
var ErrBadName = errors.New("bad name")

// CheckClientID says what is wrong with a clientId, or nil: 1–128 bytes of UTF-8 without control characters.
func CheckClientID(s string) error { return checkName(s, MaxNameLen) }

// CheckGroup says what is wrong with a group's name, or nil: 1–128 bytes of UTF-8 without control characters.
func CheckGroup(s string) error { return checkName(s, MaxNameLen) }

// CheckDevice says what is wrong with a device's name, or nil: 1–64 bytes of UTF-8 without control characters.
func CheckDevice(s string) error { return checkName(s, MaxDeviceLen) }

// CheckID says what is wrong with a message id, or nil: 1–64 bytes of UTF-8 without control characters.
func CheckID(s string) error { return checkName(s, MaxIDLen) }

func checkName(s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: is empty", ErrBadName)
	case len(s) > limit:
		return fmt.Errorf("%w: has %d bytes, at most %d are allowed", ErrBadName, len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: is not valid UTF-8", ErrBadName)
	}
	for i, r := range s {
		if r == utf8.RuneError { // what decoders put in place of broken text: different names would become one
			return fmt.Errorf("%w: has U+FFFD, which stands for broken text, at byte %d", ErrBadName, i)
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: has a control character at byte %d", ErrBadName, i)
		}
	}
	return nil
}
