package outbound

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"keyvend/pkg/health"
)

// guarded is a dialer that reaches port 443 of public addresses and nothing
// else. It decides on the address that the socket is about to connect to, so it
// does not matter by which name, notation, or answer of which server it got
// there. Of a name with several addresses those that are not public are passed
// over.
func guarded() *net.Dialer {
	return &net.Dialer{ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" || to.Port() != 443 || !Public(to.Addr()) {
			return health.ErrNotPublic
		}
		return nil
	}}
}

// Public reports whether an address is one of a host on the public internet: in
// no special-purpose range of IANA's registries, those that are routed included,
// and for IPv6 within the one range of global unicast. An IPv4 address mapped to
// IPv6 is judged as the address it is, and a zone is of a local network.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

var globalUnicast = netip.MustParsePrefix("2000::/3")

// special are the special-purpose ranges of IPv4, and those of IPv6 that lie
// within globalUnicast.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // shared, behind a carrier's NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback: Lambda's Runtime API
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local: metadata of instances
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.31.196.0/24"), // AS112
	netip.MustParsePrefix("192.52.193.0/24"), // multicast tunnels
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("192.175.48.0/24"), // AS112
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast

	netip.MustParsePrefix("2001::/23"),         // protocol assignments: Teredo, ORCHID, benchmarks
	netip.MustParsePrefix("2001:db8::/32"),     // documentation
	netip.MustParsePrefix("2002::/16"),         // 6to4, which holds an IPv4 address
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112
	netip.MustParsePrefix("3fff::/20"),         // documentation
}
