package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DevicePolicy says how many connections of one client may be open at a time. The newest stay; the others are
// closed with "replaced by another device". It counts when a connection is opened, for all that the client has then.
//
//	any              as many as it likes (also the zero value)
//	one              one
//	one-per-device   one of each device
//	max:N            the N newest
type DevicePolicy string

const (
	AnyDevice    DevicePolicy = "any"
	OneDevice    DevicePolicy = "one"
	OnePerDevice DevicePolicy = "one-per-device"

	maxPolicyPrefix = "max:"
	maxDevices      = 1000 // of max:N; a script walks through the client's connections at every connect
)

// ErrBadPolicy is wrapped by ParseDevicePolicy's errors.
var ErrBadPolicy = errors.New("bad device policy")

// ParseDevicePolicy reads a policy as it is written in the settings and in connect requests; empty means any.
func ParseDevicePolicy(s string) (DevicePolicy, error) {
	switch p := DevicePolicy(s); p {
	case "":
		return AnyDevice, nil
	case AnyDevice, OneDevice, OnePerDevice:
		return p, nil
	}
	digits, found := strings.CutPrefix(s, maxPolicyPrefix)
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 1 || n > maxDevices || digits != strconv.Itoa(n) {
		return "", fmt.Errorf(`%w: %.40q is not any, one, one-per-device or max:N with N from 1 to %d`, ErrBadPolicy, s, maxDevices)
	}
	return DevicePolicy(s), nil
}
