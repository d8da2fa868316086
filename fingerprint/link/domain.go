package link

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/siaga-crp/siaga/fingerprint/paste"
)

// Domain is a registrable domain or a host under one, in canonical form: lower
// case, in punycode, without www. before a registrable domain. It may also be an
// IP address, an IPv6 address in brackets. The zero value is no domain.
type Domain string

// String returns the canonical text.
func (d Domain) String() string { return string(d) }

// Registrable returns the part of d that one owner registered, by the public
// suffix list (its private section too, so that sites of different people on one
// host of blogs stay apart): example.co.id for www.news.example.co.id. An IP
// address is its own.
func (d Domain) Registrable() Domain { return registrable(string(d)) }

// Covering returns the domains that cover d, from d itself up to its registrable
// domain: what to look up among domain fingerprints.
func (d Domain) Covering() []Domain {
	if d == "" {
		return nil
	}
	return domainsOf(string(d))
}

// Covers reports whether o is d or is under it.
func (d Domain) Covers(o Domain) bool {
	return d == o || (d != "" && len(o) > len(d) && strings.HasSuffix(string(o), string(d)) && o[len(o)-len(d)-1] == '.' && !isIP(string(d)))
}

const (
	errDomain = syntaxError("This is not a domain. Enter it as in the address bar, for instance example.org")
	errTLD    = syntaxError("This does not end in a known top-level domain such as .com or .id. Check its end, or enter the whole address as the browser shows it")
	errSuffix = syntaxError("Anyone can register names under this ending, so it names nobody. Enter the domain under it, for instance example.co.id")
)

// ParseDomain reads a domain from a domain or an address, in any usual spelling.
// It refuses a public suffix (co.id, github.io), under which unrelated people
// register, and a name that does not end in a known top-level domain. The errors
// are sentences that wrap ErrSyntax.
func ParseDomain(text string) (Domain, error) {
	text, err := paste.Clean(text, MaxLength)
	if err != nil {
		if err == paste.ErrEmpty {
			return "", errDomain
		}
		return "", syntaxError(err.Error())
	}
	text = refang(text)
	if scheme, ok := schemeOf(text); ok {
		if scheme != "http" && scheme != "https" && scheme != "ftp" {
			return "", errDomain
		}
		u, err := parser.Parse(withoutUser(text))
		if err != nil {
			return "", errDomain
		}
		text = u.Hostname()
	} else {
		text = strings.TrimPrefix(text, "//")
		if i := strings.IndexAny(text, `/?#\`); i >= 0 {
			text = text[:i]
		}
		text = strings.TrimPrefix(text, "*.") // how certificates and filters write "and all under it"
		if strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		}
		text, _ = cutPort(text)
	}
	host, err := hostName(text)
	if err != nil {
		return "", errDomain
	}
	if isIP(host) {
		return Domain(host), nil
	}
	if !strings.Contains(host, ".") {
		return "", errDomain
	}
	if !knownTLD(host) {
		return "", errTLD
	}
	if suffix, _ := publicsuffix.PublicSuffix(host); suffix == host {
		return "", errSuffix
	}
	return withoutWWW(host), nil
}

// withoutWWW drops www. before a registrable domain.
func withoutWWW(host string) Domain {
	if rest, ok := strings.CutPrefix(host, "www."); ok && registrable(host) == Domain(rest) {
		return Domain(rest)
	}
	return Domain(host)
}

// registrable returns the registrable domain of a host, or the host itself if it
// has none.
func registrable(host string) Domain {
	if isIP(host) {
		return Domain(host)
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return Domain(host)
	}
	return Domain(d)
}

// domainsOf returns the domains that cover a host, the longest first.
func domainsOf(host string) []Domain {
	top := registrable(host)
	d := withoutWWW(host)
	ds := []Domain{d}
	for d != top {
		_, rest, ok := strings.Cut(string(d), ".")
		if !ok {
			break
		}
		d = Domain(rest)
		ds = append(ds, d)
	}
	return ds
}

func isIP(host string) bool { return strings.HasPrefix(host, "[") || dottedQuad(host) }

// otherTLDs are top-level names that are in use or reserved, and not in the root
// zone: RFC 2606, 6761, 7686, 9476, the root's .internal, and the names of other
// networks.
var otherTLDs = set("example test invalid localhost local internal alt onion i2p loki bit eth")

// knownTLD reports whether a host has a dot and ends in a top-level domain that
// exists.
func knownTLD(host string) bool {
	i := strings.LastIndexByte(host, '.')
	if i < 0 || isIP(host) {
		return false
	}
	// The list answers an unknown name with its default rule, which is one
	// label and not ICANN's.
	suffix, icann := publicsuffix.PublicSuffix(host)
	return icann || strings.Contains(suffix, ".") || otherTLDs[host[i+1:]]
}
