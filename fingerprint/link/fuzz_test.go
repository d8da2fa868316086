package link_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/fingerprint/link"
)

// seeds are the first columns of testdata/services.txt.
func seeds(f *testing.F) {
	file, err := os.Open("testdata/services.txt")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for sc := bufio.NewScanner(file); sc.Scan(); {
		if cols := strings.Fields(sc.Text()); len(cols) == 3 {
			f.Add(cols[0])
			f.Add(cols[2])
		}
	}
	for _, s := range []string{
		// found by fuzzing
		"YoutuBe.Com/redirect?q=http%3A%2F%2F0", "fACeBook.Com/.0#000000000", "megA.nZ#!.",
		// shapes of every kind
		"", "hxxps[:]//example[.]org/%%34%31?utm_source=a&b=%zz#!/x", "@a@b.example", "[2001:db8::1]:80", "*.example.org.", "https://[[::1]]/", "magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK", "https://xn--/", "youtube:@İ", "matrix:roomid/a:b", "tg:resolve?phone=%2b62812345678",
	} {
		f.Add(s)
	}
}

func FuzzParseURL(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := link.Read(text)
		if err != nil {
			if !r.URL.IsZero() || !r.Channel.IsZero() {
				t.Fatalf("Read(%q) returned a value with the error %v", text, err)
			}
			return
		}
		s := r.URL.String()
		if s == "" || len(s) > link.MaxLength || !ascii(s) {
			t.Fatalf("Read(%q) = %q", text, s)
		}
		again, err := link.Read(s)
		if err != nil || again.URL != r.URL {
			t.Fatalf("%q became %q, and that %q, %v", text, r.URL, again.URL, err)
		}
		if !again.Channel.IsZero() && again.Channel != r.Channel {
			t.Fatalf("%q is of %v, its canonical form %q of %v", text, r.Channel, s, again.Channel)
		}
		checkChannel(t, r.Channel)
		ds := r.URL.Domains()
		for i, d := range ds {
			if !d.Covers(ds[0]) || len(d) > len(ds[max(i-1, 0)]) {
				t.Fatalf("domains of %q: %q", s, ds)
			}
		}
	})
}

func FuzzParseDomain(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := link.ParseDomain(text)
		if err != nil {
			if d != "" {
				t.Fatalf("ParseDomain(%q) returned a value with the error %v", text, err)
			}
			return
		}
		if d == "" || !ascii(string(d)) {
			t.Fatalf("ParseDomain(%q) = %q", text, d)
		}
		if again, err := link.ParseDomain(string(d)); err != nil || again != d {
			t.Fatalf("%q became %q, and that %q, %v", text, d, again, err)
		}
		// An address on the domain is found by it.
		u, err := link.ParseURL("https://" + string(d) + "/")
		if err != nil {
			t.Fatalf("no address on %q: %v", d, err)
		}
		_ = u // on a service, the address may have moved to the canonical host
	})
}

func FuzzParseChannel(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := link.ParseChannel(text)
		if err != nil {
			if !c.IsZero() {
				t.Fatalf("ParseChannel(%q) returned a value with the error %v", text, err)
			}
			return
		}
		checkChannel(t, c)
	})
}

func checkChannel(t *testing.T, c link.Channel) {
	t.Helper()
	if c.IsZero() {
		return
	}
	if !utf8.ValidString(c.String()) {
		t.Fatalf("channel %q is not UTF-8", c)
	}
	if again, err := link.ParseChannel(c.String()); err != nil || again != c {
		t.Fatalf("channel %q became %q, %v", c, again, err)
	}
	if other, err := link.ParseChannelOn(c.Service(), c.Name()); err != nil || other != c {
		t.Fatalf("channel %q became %q, %v by its parts", c, other, err)
	}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
