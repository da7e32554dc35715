package outbound_test

import (
	"net/netip"
	"testing"

	"keyvend/pkg/outbound"
)

// registered are IANA's registries of special-purpose addresses, row by row,
// with multicast, and the older ranges that other registers say are not unicast
// on the internet.
func registered() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16",
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
		"224.0.0.0/4",

		"::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
		"2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48",
		"2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
		"5f00::/16", "fc00::/7", "fe80::/10",
		"::/96", "fec0::/10", "ff00::/8",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// onTheInternet is what Public has to say, from the registries.
func onTheInternet(a netip.Addr) bool {
	if a.Is4In6() {
		a = a.WithZone("").Unmap()
	}
	for _, p := range registered() {
		if p.Contains(a) {
			return false
		}
	}
	return a.Is4() || netip.MustParsePrefix("2000::/3").Contains(a)
}

// edges are the first and the last address of a range, and those just outside.
func edges(p netip.Prefix) (within, outside []netip.Addr) {
	first := p.Masked().Addr()
	end := first.AsSlice()
	for i := p.Bits(); i < first.BitLen(); i++ {
		end[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(end)
	return []netip.Addr{first, last}, []netip.Addr{first.Prev(), last.Next()}
}

func TestF35_NoEdgeOfASpecialPurposeRangeIsPublic(t *testing.T) {
	for _, p := range registered() {
		within, outside := edges(p)
		for _, a := range within {
			if outbound.Public(a) {
				t.Errorf("%s of %s is public", a, p)
			}
			if a.Is4() && outbound.Public(netip.AddrFrom16(a.As16())) {
				t.Errorf("%s of %s is public when it is mapped", a, p)
			}
		}
		for _, a := range outside {
			if a.IsValid() && outbound.Public(a) != onTheInternet(a) {
				t.Errorf("%s beside %s: public is %v", a, p, !onTheInternet(a))
			}
		}
	}
}

func TestWhatIsBesideASpecialPurposeRangeIsPublic(t *testing.T) {
	for _, text := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0",
		"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "::ffff:8.8.8.8",
		"2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::",
		"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::", "2606:4700:4700::1111", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
		"2620:4f:8001::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if !outbound.Public(netip.MustParseAddr(text)) {
			t.Errorf("%s is not public", text)
		}
	}
}

func TestOutsideGlobalUnicastNothingOfIPv6IsPublic(t *testing.T) {
	for _, text := range []string{
		"::", "::1", "::2", "::8.8.8.8", "::ffff:0:808:808", "64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "100::1", "200::1",
		"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "5f00::1", "8000::1", "fd00:ec2::254", "fe80::1", "fec0::1",
		"ff02::1", "2606:4700:4700::1111%eth0", "::ffff:8.8.8.8%eth0",
	} {
		if outbound.Public(netip.MustParseAddr(text)) {
			t.Errorf("%s is public", text)
		}
	}
	if outbound.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}
