package server

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the addresses whose word on where a request came from counts.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks, separated by commas.
func ParseProxies(text string) (Proxies, error) {
	var out Proxies
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			addr, err := netip.ParseAddr(part)
			if err != nil || addr.Zone() != "" {
				return nil, errors.New("want addresses or networks such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, separated by commas")
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if network.Addr().Is4In6() {
			return nil, errors.New("want IPv4 networks as 10.0.0.0/8, not mapped into IPv6")
		}
		out = append(out, network.Masked())
	}
	return out, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// clientOf is the address that a request came from: its peer's or, when that is a trusted proxy, the last one in
// X-Forwarded-For that is not. Each proxy appends the address that it was called from, so what stands to the left of the
// first address that we do not trust is only that one's claim. An entry that is no address ends the search at the proxy
// that wrote it.
func (p Proxies) clientOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	at := plain(peer.Addr())
	if len(p) == 0 {
		return at
	}
	lines := r.Header.Values("X-Forwarded-For")
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; ; {
			if !p.trust(at) {
				return at
			}
			comma := strings.LastIndexByte(rest, ',')
			next, ok := parseHop(rest[comma+1:])
			if !ok {
				return at
			}
			at = next
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return at
}

// parseHop reads one entry of X-Forwarded-For; some proxies add the port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return plain(a), true
	}
	ap, err := netip.ParseAddrPort(text)
	return plain(ap.Addr()), err == nil
}

// plain makes addresses that mean the same equal.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
