package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// checkTimeout bounds one check; container platforms give it 5 s or more.
	checkTimeout = 3 * time.Second
	// maxCheckBody is far more than a status takes, in bytes.
	maxCheckBody = 64 << 10
)

// ErrUnready is wrapped by Check's error when the program answers that it is
// not ready.
var ErrUnready = errors.New("not ready")

// Check asks the program whose admin listener is addr (as in IM_ADMIN_LISTEN)
// whether it is ready. It blocks for 3 s at most.
func Check(ctx context.Context, addr string) error {
	target, err := dialable(addr)
	if err != nil {
		return fmt.Errorf("check %s: %w", addr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("check %s: %w", addr, err)
	}
	// A transport of its own: no proxy from the environment, nothing kept open.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("check %s: %w", addr, err)
	}
	defer resp.Body.Close()
	var body status
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxCheckBody)).Decode(&body) // the status code decides
	if resp.StatusCode != http.StatusOK || body.Status != "ready" {
		return fmt.Errorf("check %s: %w: %s %s", addr, ErrUnready, resp.Status, body.Reason)
	}
	return nil
}

// dialable turns the address of a listener into one to dial from this host: a
// listener on all interfaces is asked on loopback.
func dialable(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", errors.New("port 0 takes any free port: set a fixed one to be checked")
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
