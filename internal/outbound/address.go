package outbound

import (
	"encoding/binary"
	"net/netip"
)

// notPublic lists what the special-purpose registries of IANA (RFC 6890 and
// its updates) name as not globally reachable, and what is not unicast.
var notPublic = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // shared (carrier NAT)
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, metadata services
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.31.196.0/24", // AS112
		"192.52.193.0/24", // AMT
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"192.175.48.0/24", // AS112
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
		"100.100.100.200/32",
		"168.63.129.16/32", // a cloud's own services, on a public-looking address
		"2001::/23",        // protocol assignments, Teredo, ORCHID
		"2001:db8::/32",    // documentation
		"3fff::/20",        // documentation
		"5f00::/16",        // segment routing
		"2620:4f:8000::/48",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

var (
	global6 = netip.MustParsePrefix("2000::/3") // the only unicast space that is in use
	sixToFo = netip.MustParsePrefix("2002::/16")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

// Public reports whether the address is one of the public internet. An IPv6
// address that carries an IPv4 address (mapped, NAT64, 6to4) is judged by that;
// one with a zone is not public.
func Public(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	if ip.Is6() {
		b := ip.As16()
		switch {
		case nat64.Contains(ip):
			return Public(netip.AddrFrom4([4]byte(b[12:16])))
		case sixToFo.Contains(ip):
			return Public(netip.AddrFrom4([4]byte(b[2:6])))
		case !global6.Contains(ip):
			return false
		}
		// ISATAP: the last 64 bits are 0:5efe or 200:5efe and an IPv4 address.
		if id := binary.BigEndian.Uint32(b[8:12]); id == 0x00005efe || id == 0x02005efe {
			if !Public(netip.AddrFrom4([4]byte(b[12:16]))) {
				return false
			}
		}
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
