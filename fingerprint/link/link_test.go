package link_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/fingerprint/link"
)

func TestServices(t *testing.T) {
	f, err := os.Open("testdata/services.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		cols := strings.Fields(sc.Text())
		if len(cols) == 0 || cols[0] == "#" {
			continue
		}
		if len(cols) != 3 {
			t.Fatalf("not three columns: %q", sc.Text())
		}
		n++
		r, err := link.Read(cols[0])
		if err != nil {
			t.Errorf("Read(%q): %v", cols[0], err)
			continue
		}
		if got := r.URL.String(); got != cols[1] {
			t.Errorf("Read(%q)\n got %s\nwant %s", cols[0], got, cols[1])
		}
		ch := r.Channel.String()
		if ch == "" {
			ch = "-"
		}
		if ch != cols[2] {
			t.Errorf("Read(%q): channel %s, want %s", cols[0], ch, cols[2])
		}
		if ch != "-" {
			if c, err := link.ParseChannel(ch); err != nil || c != r.Channel {
				t.Errorf("ParseChannel(%q) = %v, %v, want it unchanged", ch, c, err)
			}
			if c, err := link.ParseChannel(cols[0]); err != nil || c != r.Channel {
				t.Errorf("ParseChannel(%q) = %v, %v, want %v", cols[0], c, err, r.Channel)
			}
		}
		again, err := link.ParseURL(cols[1])
		if err != nil || again.String() != cols[1] {
			t.Errorf("ParseURL(%q) = %v, %v, want it unchanged", cols[1], again, err)
		}
	}
	if n < 100 {
		t.Errorf("only %d cases were read", n)
	}
}

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "https://example.org/a/b", "https://example.org/a/b"},
		{"no path", "https://example.org", "https://example.org/"},
		{"upper case", "HTTPS://EXAMPLE.ORG/A", "https://example.org/A"},
		{"http", "http://example.org/", "https://example.org/"},
		{"default port", "http://example.org:80/", "https://example.org/"},
		{"https port", "https://example.org:0443/", "https://example.org/"},
		{"other port", "http://example.org:8080/", "http://example.org:8080/"},
		{"ftp", "ftp://example.org:21/a", "ftp://example.org/a"},
		{"no scheme", "example.org/a", "https://example.org/a"},
		{"no scheme, port", "example.org:8080/a", "https://example.org:8080/a"},
		{"two slashes", "//example.org/a", "https://example.org/a"},
		{"one slash", "https:/example.org", "https://example.org/"},
		{"backslashes", `https:\\example.org\a`, "https://example.org/a"},
		{"user and password", "https://user:pass@example.org/", "https://example.org/"},
		{"user that looks like a host", "https://youtube.com@example.org/", "https://example.org/"},
		{"last dot", "https://example.org./", "https://example.org/"},
		{"IDNA", "https://Bücher.example/", "https://xn--bcher-kva.example/"},
		{"IDNA, decomposed", "https://bu\u0308cher.example/", "https://xn--bcher-kva.example/"},
		{"punycode", "https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example/"},
		{"ideographic dot", "https://example。org/", "https://example.org/"},
		{"full-width host", "https://ｅｘａｍｐｌｅ．org/", "https://example.org/"},
		{"Persian non-joiner", "https://نامه\u200cای.example/", "https://xn--mgba3gch31f060k.example/"},
		{"Thai", "https://ไทย.example/ข่าว", "https://xn--o3cw4h.example/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7"},
		{"dot segments", "https://example.org/a/./b/../c", "https://example.org/a/c"},
		{"encoded dot segments", "https://example.org/a/%2e%2E/c", "https://example.org/c"},
		{"above the root", "https://example.org/../../a", "https://example.org/a"},
		{"slashes stay", "https://example.org//a//", "https://example.org//a//"},
		{"encoded letters", "https://example.org/%41%62%7E", "https://example.org/Ab~"},
		{"lower hex", "https://example.org/%c3%a9", "https://example.org/%C3%A9"},
		{"encoded slash stays", "https://example.org/a%2fb", "https://example.org/a%2Fb"},
		{"lone percent", "https://example.org/100%", "https://example.org/100%25"},
		{"percent of percent", "https://example.org/%%34%31", "https://example.org/%2541"},
		{"pipe", "https://example.org/a|b?c|d", "https://example.org/a%7Cb?c%7Cd"},
		{"fragment", "https://example.org/a#top", "https://example.org/a"},
		{"text fragment", "https://example.org/a#:~:text=x", "https://example.org/a"},
		{"route in fragment", "https://app.example.org/#/room/7", "https://app.example.org/#/room/7"},
		{"hashbang", "https://app.example.org/#!/room/7", "https://app.example.org/#!/room/7"},
		{"empty route", "https://app.example.org/#/", "https://app.example.org/"},
		{"route and text fragment", "https://app.example.org/#/a:~:text=x", "https://app.example.org/#/a"},
		{"empty query", "https://example.org/a?", "https://example.org/a"},
		{"tracking", "https://example.org/a?utm_source=x&id=7&fbclid=y&GCLID=z", "https://example.org/a?id=7"},
		{"only tracking", "https://example.org/a?utm_source=x", "https://example.org/a"},
		{"encoded tracking", "https://example.org/a?%75tm_source=x&b=1", "https://example.org/a?b=1"},
		{"order stays", "https://example.org/?b=2&a=1&b=3", "https://example.org/?b=2&a=1&b=3"},
		{"empty parameters", "https://example.org/?&&a=1&=&b", "https://example.org/?a=1&b"},
		{"amp", "https://example.org/?a=1&amp;b=2", "https://example.org/?a=1&b=2"},
		{"names that some sites need stay", "https://example.org/?ref=1&source=2&t=3&s=4&id=5", "https://example.org/?ref=1&source=2&t=3&s=4&id=5"},
		{"IPv4", "http://203.0.113.7/a", "https://203.0.113.7/a"},
		{"IPv4 in hex", "http://0xCB007107/a", "https://203.0.113.7/a"},
		{"IPv4 without scheme", "203.0.113.7/a", "https://203.0.113.7/a"},
		{"IPv6", "http://[2001:DB8:0::1]/", "https://[2001:db8::1]/"},
		{"localhost", "http://localhost:8443/v/9", "http://localhost:8443/v/9"},
		{"onion", "http://duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion/", "https://duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion/"},
		{"underscore", "https://a_b.example.org/", "https://a_b.example.org/"},

		{"hxxp", "hxxp://example.org/a", "https://example.org/a"},
		{"hXXps", "hXXps://example.org/a", "https://example.org/a"},
		{"stars", "h**ps://example.org/a", "https://example.org/a"},
		{"dots in brackets", "hxxps://www[.]example[.]org/a", "https://www.example.org/a"},
		{"dots in parentheses", "https://www(.)example(.)org/a", "https://www.example.org/a"},
		{"dots in words", "hxxps://www[dot]example(dot)org/a", "https://www.example.org/a"},
		{"half a bracket", "hxxp://example[.org/a", "https://example.org/a"},
		{"escaped dots", `hxxps://www\.example\.org/a`, "https://www.example.org/a"},
		{"all in brackets", "https[://]example.org/a", "https://example.org/a"},
		{"colon in brackets", "hxxps[:]//example[.]org[:]8443/a", "https://example.org:8443/a"},
		{"colon and slashes in brackets", "hxxp[:/]/example.org/a", "https://example.org/a"},
		{"slash in brackets", "hxxps://example[.]org[/]a[/]b", "https://example.org/a/b"},
		{"disguised path", "hxxps://example[.]org/a[.]html", "https://example.org/a.html"},
		{"brackets in the path of an open address", "https://example.org/a[.]html", "https://example.org/a[.]html"},
		{"disguised without scheme", "example[.]org/a", "https://example.org/a"},
		{"space after the scheme", "https:// example.org/a", "https://example.org/a"},
		{"IPv6 is no disguise", "hxxp://[2001:db8::1]/", "https://[2001:db8::1]/"},

		{"spaces around", "\t https://example.org/a \r\n", "https://example.org/a"},
		{"no-break space around", "\u00a0https://example.org/a\u00a0", "https://example.org/a"},
		{"zero-width", "https://exam\u200bple.org/\u2060a\ufeff", "https://example.org/a"},
		{"bidirectional", "\u202ahttps://example.org/a\u202c", "https://example.org/a"},
		{"soft hyphen", "https://exam\u00adple.org/", "https://example.org/"},
		{"angle brackets", "<https://example.org/a>", "https://example.org/a"},
		{"RFC 3986, appendix C", "<URL:https://example.org/a>", "https://example.org/a"},
		{"quotes", "“https://example.org/a”", "https://example.org/a"},
		{"backquotes", "`https://example.org/a`", "https://example.org/a"},

		{"magnet", "magnet:?dn=x&xt=urn:btih:C12FE1C06BBA254A9DC9F519B335AA7C1367A88A&tr=udp://t.example", "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"},
		{"magnet, base 32", "magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK", "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"},
		{"magnet, both versions", "magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e&xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac", "magnet:?xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac"},
		{"magnet, version 2", "magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e", "magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := link.ParseURL(c.in)
			if err != nil {
				t.Fatalf("ParseURL(%q): %v", c.in, err)
			}
			if u.String() != c.want {
				t.Errorf("ParseURL(%q)\n got %s\nwant %s", c.in, u, c.want)
			}
			again, err := link.ParseURL(u.String())
			if err != nil || again != u {
				t.Errorf("ParseURL(%q) = %v, %v, want it unchanged", u, again, err)
			}
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	const enter = "Enter the address as the browser shows it, starting with https://"
	for _, c := range []struct{ name, in, want string }{
		{"a path", "lensa/v/9", enter},
		{"nothing", "", enter},
		{"only spaces", " \t ", enter},
		{"a word", "lensa", enter},
		{"unknown top level", "lensa.qqqqq/v/9", enter},
		{"mail address", "kabar@example.org", enter},
		{"host and port", "localhost:8080", enter},
		{"number", "12345", enter},
		{"scheme alone", "https://", enter},
		{"no host", "https:///", enter},
		{"script", "javascript:alert(1)", enter},
		{"data", "data:text/html,x", enter},
		{"file", "file:///etc/passwd", enter},
		{"mail", "mailto:kabar@example.org", enter},
		{"unknown app", "tg://settings", enter},
		{"empty label", "https://a..example.org/", enter},
		{"bad punycode", "https://xn--a-ecp.example/", enter},
		{"bad IPv4", "https://256.1.1.1/", enter},
		{"long label", "https://" + strings.Repeat("a", 64) + ".example/", enter},
		{"port", "https://example.org:99999/", "The port of the address is not a number from 0 to 65535. " + enter},
		{"space", "https://example.org/a b", "The address has a space in it. Enter one address a line, with %20 where it has a space"},
		{"two addresses", "https://example.org/a https://example.org/b", "The address has a space in it. Enter one address a line, with %20 where it has a space"},
		{"two lines", "https://example.org/a\nhttps://example.org/b", "There is more than one line. Enter one address a line"},
		{"NUL", "https://example.org/a\x00b", "The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text"},
		{"control", "https://example.org/a\x01b", "The text has a control character in it. Copy the value again, as plain text"},
		{"not UTF-8", "https://example.org/\xff", "The text has bytes that are not UTF-8. Copy the value again, as plain text"},
		{"too long", "https://example.org/" + strings.Repeat("a", link.MaxLength), "This is too long to be one value. Enter one value a line"},
		{"too long once encoded", "https://example.org/" + strings.Repeat("é", link.MaxLength/2-20), "This is too long to be one value. Enter one value a line"},
		{"endless forwarding", strings.Repeat("https://www.google.com/url?q=", 20) + "https://example.org/", "The address leads to a forwarding page of a forwarding page, too many times. " + enter},
		{"magnet", "magnet:?dn=x", "The magnet link has no torrent hash. Enter all of it: magnet:?xt=urn:btih: and 40 hex digits"},
		{"magnet hash", "magnet:?xt=urn:btih:c12fe1", "The magnet link has no torrent hash. Enter all of it: magnet:?xt=urn:btih: and 40 hex digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := link.ParseURL(c.in)
			if err == nil {
				t.Fatalf("ParseURL(%.60q) = %v, want an error", c.in, u)
			}
			if !errors.Is(err, link.ErrSyntax) {
				t.Errorf("%v does not wrap ErrSyntax", err)
			}
			if !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("ParseURL(%.60q):\n got %s\nwant %s", c.in, err, c.want)
			}
		})
	}
}

// TestURLStandard holds ParseURL to the URL Standard's own tests: it refuses
// what browsers refuse, and gives one form to an address and to what browsers
// make of it.
func TestURLStandard(t *testing.T) {
	// Where this package means to differ, and why.
	differs := map[string]string{
		"http://!\"$&'()*+,-.;=_`{}~/":              "no such host can be in DNS",
		"http://./":                                 "empty host name",
		"http://../":                                "empty label",
		"http://foo.09..":                           "empty label",
		"http://ho\tst/":                            "what looks like a space is refused",
		"http://ho\nst/":                            "two lines may be two addresses",
		"http://ho\rst/":                            "two lines may be two addresses",
		"http://example.com/foo\tbar":               "what looks like a space is refused",
		"http://www.google.com/foo?bar=baz# \u00bb": "a space",
		"http://example.com/foo\t\u0091%91":         "control character",
		"http://foo.bar/baz?qux#foo\bbar":           "control character",
		"http://example.org/test?a#b\x00c":          "NUL byte",
		"https://x/\x00y":                           "NUL byte",
		"https://x/?\x00y":                          "NUL byte",
		"https://x/?#\x00y":                         "NUL byte",
		"http://example.com/\u202e/foo/\u202d/bar":  "invisible characters are dropped",
		"http://example.com/\ufeff/foo":             "invisible characters are dropped",
		"https://www.example.com/path{\x7fpath.html?query'\x7f=query#fragment<\x7ffragment": "control character",
	}
	data, err := os.ReadFile("testdata/wpt.json")
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []struct {
			Input, Href string
			Failure     bool
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	if len(suite.Cases) < 250 {
		t.Fatalf("only %d cases", len(suite.Cases))
	}
	for _, c := range suite.Cases {
		got, err := link.ParseURL(c.Input)
		if _, ok := differs[c.Input]; ok {
			delete(differs, c.Input)
			if want, err2 := link.ParseURL(c.Href); err == nil && err2 == nil && got == want {
				t.Errorf("ParseURL(%q) no longer differs from the standard", c.Input)
			}
			continue
		}
		if c.Failure {
			if err == nil {
				t.Errorf("ParseURL(%q) = %v, the standard refuses it", c.Input, got)
			}
			continue
		}
		want, err2 := link.ParseURL(c.Href)
		if err != nil || err2 != nil || got != want {
			t.Errorf("ParseURL(%q) = %v, %v\nParseURL(%q) = %v, %v\nwant them equal", c.Input, got, err, c.Href, want, err2)
		}
	}
	for in := range differs {
		t.Errorf("no case %q in the suite", in)
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []link.Domain
	}{
		{"https://www.news.example.co.id/a", []link.Domain{"www.news.example.co.id", "news.example.co.id", "example.co.id"}},
		{"https://www.example.org:8443/a?b", []link.Domain{"example.org"}},
		{"https://kabar.blogspot.com/", []link.Domain{"kabar.blogspot.com"}},
		{"https://blogspot.com/", []link.Domain{"blogspot.com"}},
		{"https://203.0.113.7/", []link.Domain{"203.0.113.7"}},
		{"https://[2001:db8::1]:8080/", []link.Domain{"[2001:db8::1]"}},
		{"https://localhost/", []link.Domain{"localhost"}},
		{"magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a", nil},
	} {
		u, err := link.ParseURL(c.in)
		if err != nil {
			t.Fatalf("ParseURL(%q): %v", c.in, err)
		}
		if diff := cmp.Diff(c.want, u.Domains()); diff != "" {
			t.Errorf("domains of %s (-want +got):\n%s", c.in, diff)
		}
		for _, d := range u.Domains() {
			if o := u.Domains()[0]; !d.Covers(o) {
				t.Errorf("%s does not cover %s", d, o)
			}
		}
	}
	if diff := cmp.Diff([]link.Domain{"b.a.example.co.id", "a.example.co.id", "example.co.id"}, link.Domain("b.a.example.co.id").Covering()); diff != "" {
		t.Errorf("Covering (-want +got):\n%s", diff)
	}
	if got := link.Domain("").Covering(); got != nil {
		t.Errorf("Covering of the zero value: %v", got)
	}
	if got := (link.URL{}).Domains(); got != nil {
		t.Errorf("domains of the zero value: %v", got)
	}
}

func TestParseDomain(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     link.Domain
	}{
		{"plain", "example.org", "example.org"},
		{"upper case", "Example.ORG", "example.org"},
		{"www", "www.example.org", "example.org"},
		{"www under a suffix", "www.co.id", "www.co.id"},
		{"www deeper", "www.a.example.org", "www.a.example.org"},
		{"last dot", "example.org.", "example.org"},
		{"wildcard", "*.example.org", "example.org"},
		{"address", "https://www.example.org:8443/a?b#c", "example.org"},
		{"path", "example.org/a", "example.org"},
		{"port", "example.org:8443", "example.org"},
		{"slashes", "//example.org", "example.org"},
		{"disguised", "hxxps://example[.]org/", "example.org"},
		{"disguised alone", "example[.]org", "example.org"},
		{"IDNA", "Bücher.example", "xn--bcher-kva.example"},
		{"second level", "news.example.co.id", "news.example.co.id"},
		{"private suffix", "kabar.github.io", "kabar.github.io"},
		{"onion", "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion", "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"},
		{"reserved", "lensa.test", "lensa.test"},
		{"IPv4", "203.0.113.7", "203.0.113.7"},
		{"IPv6", "2001:DB8::1", "[2001:db8::1]"},
		{"IPv6 in brackets", "[2001:db8::1]:8080", "[2001:db8::1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := link.ParseDomain(c.in)
			if err != nil || d != c.want {
				t.Fatalf("ParseDomain(%q) = %q, %v, want %q", c.in, d, err, c.want)
			}
			if again, err := link.ParseDomain(string(d)); err != nil || again != d {
				t.Errorf("ParseDomain(%q) = %q, %v, want it unchanged", d, again, err)
			}
		})
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "This is not a domain. Enter it as in the address bar, for instance example.org"},
		{"word", "lensa", "This is not a domain. Enter it as in the address bar, for instance example.org"},
		{"mail address", "kabar@example.org", "This is not a domain. Enter it as in the address bar, for instance example.org"},
		{"other scheme", "mailto:kabar@example.org", "This is not a domain. Enter it as in the address bar, for instance example.org"},
		{"suffix", "co.id", "Anyone can register names under this ending, so it names nobody. Enter the domain under it, for instance example.co.id"},
		{"private suffix", "https://github.io/", "Anyone can register names under this ending, so it names nobody. Enter the domain under it, for instance example.co.id"},
		{"top level", "lensa.qqqqq", "This does not end in a known top-level domain such as .com or .id. Check its end, or enter the whole address as the browser shows it"},
		{"NUL", "example.org\x00", "The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			d, err := link.ParseDomain(c.in)
			if err == nil || err.Error() != c.want || !errors.Is(err, link.ErrSyntax) {
				t.Errorf("ParseDomain(%q) = %q, %v, want the error %q", c.in, d, err, c.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		d, o link.Domain
		want bool
	}{
		{"example.org", "example.org", true},
		{"example.org", "a.example.org", true},
		{"example.org", "b.a.example.org", true},
		{"a.example.org", "example.org", false},
		{"example.org", "badexample.org", false},
		{"0.113.7", "203.0.113.7", true}, // not a domain that ParseDomain returns
		{"203.0.113.7", "1.203.0.113.7", false},
		{"", "example.org", false},
	} {
		if got := c.d.Covers(c.o); got != c.want {
			t.Errorf("%q.Covers(%q) = %v, want %v", c.d, c.o, got, c.want)
		}
	}
	if got := link.Domain("www.news.example.co.id").Registrable(); got != "example.co.id" {
		t.Errorf("Registrable = %q", got)
	}
}

func TestParseChannel(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"canonical", "telegram:kabarseroja", "telegram:kabarseroja"},
		{"handle", "telegram:@KabarSeroja", "telegram:kabarseroja"},
		{"service before", "Telegram @KabarSeroja", "telegram:kabarseroja"},
		{"with a slash", "telegram/KabarSeroja", "telegram:kabarseroja"},
		{"bot's number", "telegram:-1001234567890", "telegram:c/1234567890"},
		{"c with bot's number", "telegram:c/-1001234567890", "telegram:c/1234567890"},
		{"invitation keeps its case", "telegram:+AAAAAEHbEkejzxUjAUCfYg", "telegram:+AAAAAEHbEkejzxUjAUCfYg"},
		{"YouTube handle without @", "youtube:KabarSeroja", "youtube:@kabarseroja"},
		{"YouTube number keeps its case", "youtube:UC4QobU6STFB0P71PMvOGN5A", "youtube:UC4QobU6STFB0P71PMvOGN5A"},
		{"YouTube handle of another script", "youtube:@ข่าวเสรี", "youtube:@ข่าวเสรี"},
		{"decomposed", "youtube:@cafe\u0301x", "youtube:@caféx"},
		{"Twitter", "twitter:@KabarSeroja", "x:kabarseroja"},
		{"Facebook's dots", "facebook:Kabar.Seroja", "facebook:kabarseroja"},
		{"Facebook's number", "fb:100001234567890", "facebook:100001234567890"},
		{"Instagram's dots count", "instagram:Kabar.Seroja", "instagram:kabar.seroja"},
		{"subreddit", "reddit:/r/Seroja", "reddit:r/seroja"},
		{"WhatsApp number", "whatsapp:+62 812-3456-7890", "whatsapp:+6281234567890"},
		{"fediverse", "@Kabar@social.example.org", "fediverse:kabar@social.example.org"},
		{"Mastodon", "mastodon:@kabar@social.example.org", "fediverse:kabar@social.example.org"},
		{"Bluesky", "bluesky:@Kabar.Example.org", "bluesky:kabar.example.org"},
		{"Matrix", "matrix:@kabar:example.org", "matrix:@kabar:example.org"},
		{"name of two words", "Truth Social @Kabar", "truthsocial:kabar"},
		{"address", "https://www.tiktok.com/@Kabar.Seroja/video/7200000000000000001", "tiktok:kabar.seroja"},
		{"address without scheme", "t.me/KabarSeroja", "telegram:kabarseroja"},
		{"disguised address", "hxxps://t[.]me/KabarSeroja", "telegram:kabarseroja"},
		{"service by its host", "youtube.com:@KabarSeroja", "youtube:@kabarseroja"},
		{"another service", "lensa.example:Kabar", "lensa.example:Kabar"},
		{"another service's handle", "lensa.example:@Kabar", "lensa.example:Kabar"},
		{"another service's spelling", "WWW.Lensa.Example:Kabar", "lensa.example:Kabar"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch, err := link.ParseChannel(c.in)
			if err != nil || ch.String() != c.want {
				t.Fatalf("ParseChannel(%q) = %v, %v, want %s", c.in, ch, err, c.want)
			}
			if again, err := link.ParseChannel(ch.String()); err != nil || again != ch {
				t.Errorf("ParseChannel(%q) = %v, %v, want it unchanged", ch, again, err)
			}
			if other, err := link.ParseChannelOn(ch.Service(), ch.Name()); err != nil || other != ch {
				t.Errorf("ParseChannelOn(%q, %q) = %v, %v, want %v", ch.Service(), ch.Name(), other, err, ch)
			}
		})
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "Enter the channel as service:name, for instance telegram:name, or its address as the browser shows it"},
		{"handle alone", "@kabarseroja", "Say which service the account is on, for instance telegram:name, x:name or youtube:@name"},
		{"word alone", "kabarseroja", "Say which service the account is on, for instance telegram:name, x:name or youtube:@name"},
		{"unknown service", "friendster:kabar", "This service is not known. Enter its host name instead, for instance social.example.org:name"},
		{"address of none", "https://example.org/a", "This address does not say which channel or account it belongs to. Enter the channel as service:name, for instance telegram:name"},
		{"address of a post without author", "https://youtu.be/dQw4w9WgXcQ", "This address does not say which channel or account it belongs to. Enter the channel as service:name, for instance telegram:name"},
		{"too short", "telegram:abc", "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"no name", "telegram:", "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"bad letters", "x:kabar-seroja", "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"reserved word", "x:home", "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"too long", "lensa.example:" + strings.Repeat("a", 300), "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"space in the name", "lensa.example:a b", "This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it"},
		{"NUL", "telegram:kabar\x00", "The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text"},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			ch, err := link.ParseChannel(c.in)
			if err == nil || err.Error() != c.want || !errors.Is(err, link.ErrSyntax) {
				t.Errorf("ParseChannel(%.60q) = %v, %v, want the error %q", c.in, ch, err, c.want)
			}
		})
	}
	if _, err := link.ParseChannelOn("friendster", "kabar"); !errors.Is(err, link.ErrSyntax) {
		t.Errorf("ParseChannelOn an unknown service: %v", err)
	}
}

func TestServicesList(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range link.Services() {
		if s.ID == "" || s.Name == "" || seen[s.ID] || strings.ContainsAny(s.ID, ". :/@") || strings.ToLower(s.ID) != s.ID {
			t.Errorf("bad or repeated service %+v", s)
		}
		seen[s.ID] = true
	}
	for _, id := range []string{"telegram", "youtube", "x", "facebook", "instagram", "tiktok", "discord", "whatsapp"} {
		if !seen[id] {
			t.Errorf("no service %q", id)
		}
	}
}

// TestErrorsAreSentences holds errors to the style of forms, and to never
// repeating what was entered.
func TestErrorsAreSentences(t *testing.T) {
	const secret = "zqxjvk"
	for _, in := range []string{secret, "https://" + secret + "..example/", secret + ":" + secret, "@" + secret, "https://" + secret + ":99999999/", "https://example.org/ " + secret, secret + "\x00", "magnet:?" + secret, "telegram:" + secret + "!"} {
		_, err1 := link.ParseURL(in)
		_, err2 := link.ParseDomain(in)
		_, err3 := link.ParseChannel(in)
		for _, err := range []error{err1, err2, err3} {
			if err == nil {
				continue
			}
			s := err.Error()
			first, _ := utf8.DecodeRuneInString(s)
			if !unicode.IsUpper(first) || strings.HasSuffix(s, ".") || strings.Contains(s, secret) {
				t.Errorf("error for %q is not a sentence without the input: %q", in, s)
			}
			for _, word := range []string{"please", "sorry", "invalid", "forbidden", "oops"} {
				if strings.Contains(strings.ToLower(s), word) {
					t.Errorf("error for %q says %q: %q", in, word, s)
				}
			}
		}
	}
}
