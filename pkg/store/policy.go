package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DevicePolicy says how many connections of one client may be open at a time. The newest stay; the others are
// closed with "replaced by another device".
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

// ParseDevicePolicy reads a policy as it is written in the settings.
func ParseDevicePolicy(s string) (DevicePolicy, error) {
	p := DevicePolicy(s)
	if _, _, err := p.rule(); err != nil {
		return "", err
	}
	return p, nil
}

// rule is the policy as connect.lua takes it.
func (p DevicePolicy) rule() (name string, limit int, err error) {
	switch p {
	case "", AnyDevice:
		return "any", 0, nil
	case OneDevice:
		return "one", 1, nil
	case OnePerDevice:
		return "device", 1, nil
	}
	digits, found := strings.CutPrefix(string(p), maxPolicyPrefix)
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 1 || n > maxDevices {
		return "", 0, fmt.Errorf(`%w: %q is not any, one, one-per-device or max:N with N from 1 to %d`,
			ErrBadPolicy, string(p), maxDevices)
	}
	return "max", n, nil
}
