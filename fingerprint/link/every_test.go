package link

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// samples are texts of the classes of services.go: what the class accepts, in
// its one form.
var samples = map[string]string{
	"num": "1234567890", "id": "AbC-12_z", "idl": "abc-12_z", "file": "berita malam.mp4", "any": "berita-malam", "name": "kabar.seroja",
	"named": "kabarseroja", "tg": "kabarseroja", "tginvite": "AAAAAEHbEkejzxUj", "tgchat": "1234567890",
	"ytvideo": "dQw4w9WgXcQ", "ytid": "UC4QobU6STFB0P71PMvOGN5A", "ythandle": "kabarseroja", "ytplaylist": "PL0123456789abcdef",
	"ytattribution": "v=dQw4w9WgXcQ", "x": "kabarseroja", "fb": "kabarseroja", "fbgroup": "wargaseroja", "ig": "kabar.seroja",
	"igcode": "CxYz_12-abc", "threads": "kabar.seroja", "tiktok": "kabar.seroja", "tiktokv": "7200000000000000001.html",
	"discord": "kabar.seroja", "discordserver": "123456789012345678", "snowflake": "123456789012345678", "whatsapp": "0029Va4K0PZ5a245NkngBA2M",
	"phone": "6281234567890", "sub": "seroja", "redditor": "kabar-seroja", "base36": "1abc23", "twitch": "kabarseroja", "twitchvideo": "123456789",
	"kick": "kabarseroja", "uuid": "01234567-89ab-cdef-0123-456789abcdef", "rumble": "v4abcde", "bsky": "kabar.example.org", "vk": "kabarseroja",
	"vkvideo": "video-12345_67890", "vkwall": "wall-12345_67890", "vkphoto": "photo-12345_67890", "acct": "kabar@social.example.org",
	"mxid": "@kabar:example.org", "line": "kabarseroja", "steam64": "76561197960287930", "imgur": "AbCd123", "vimeo": "kabarseroja", "dm": "kabarseroja",
	"pin": "kabarseroja", "ok": "kabarseroja", "gab": "kabarseroja", "gdocid": "1AbC_dEf-gh", "slug": "berita-malam", "spot": "episode",
	"spotlang": "intl-id", "gtype": "document",
}

// fill puts samples in place of the variables of a pattern.
func fill(t *testing.T, s string) string {
	var b strings.Builder
	for {
		text, rest, ok := strings.Cut(s, "{")
		b.WriteString(text)
		if !ok {
			return strings.TrimSuffix(b.String(), "/...")
		}
		v, rest, _ := strings.Cut(rest, "}")
		_, cl, _ := strings.Cut(v, ":")
		sample, ok := samples[cl]
		if !ok {
			t.Fatalf("no sample of class %q", cl)
		}
		b.WriteString(sample)
		s = rest
	}
}

// TestEveryRoute reads an address of each route of the table: it must reach a
// form that stays, on the service's canonical host, and give the channel that
// the route names.
func TestEveryRoute(t *testing.T) {
	n := 0
	for _, svc := range services {
		for _, r := range svc.routes {
			n++
			in := fill(t, r.from)
			if strings.HasPrefix(in, "/") {
				in = strings.Fields(svc.hosts)[0] + in
			}
			in = strings.Replace(in, "/#/", "/#", 1) // see oddFragment
			got, err := Read("https://" + strings.ReplaceAll(in, " ", "%20"))
			if err != nil {
				t.Errorf("%s: Read(%q): %v", svc.id, in, err)
				continue
			}
			again, err := Read(got.URL.String())
			if err != nil || again.URL != got.URL {
				t.Errorf("%s: %q became %v, and that became %v, %v", svc.id, in, got.URL, again.URL, err)
			}
			if !again.Channel.IsZero() && again.Channel != got.Channel {
				t.Errorf("%s: %q is of %v, its canonical form of %v", svc.id, in, got.Channel, again.Channel)
			}
			if (r.channel == "") != got.Channel.IsZero() || (r.channel != "" && got.Channel.Service() != svc.id) {
				t.Errorf("%s: route %q gives channel %q, the table says %q", svc.id, r.from, got.Channel, r.channel)
			}
			if r.to != "" && !strings.Contains(r.to, "{") && got.URL.String() != r.to {
				t.Errorf("%s: %q became %v, want %s", svc.id, in, got.URL, r.to)
			}
		}
		for _, form := range svc.names {
			from, _, _ := strings.Cut(form, " ")
			c, err := channelOf(&svc, fill(t, from))
			if err != nil || c.Service() != svc.id {
				t.Errorf("%s: name of form %q: %v, %v", svc.id, form, c, err)
				continue
			}
			if again, err := channelOf(&svc, c.Name()); err != nil || again != c {
				t.Errorf("%s: %v became %v, %v", svc.id, c, again, err)
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d routes", n)
	}
}

// TestRoutesAreReached fails for a route that stands behind another that takes
// all of its addresses.
func TestRoutesAreReached(t *testing.T) {
	for _, svc := range services {
		for i, r := range svc.routes {
			if !strings.HasPrefix(r.from, "/") || strings.HasPrefix(r.from, "/#") {
				continue
			}
			in := "https://" + strings.Fields(svc.hosts)[0] + fill(t, r.from)
			a, err := parse(in)
			if err != nil {
				t.Fatal(err)
			}
			e := lookup(a.host)
			for j, c := range e.routes {
				if c.from.match(&a, &values{}) {
					if want := ownRoute(svc.routes, i); j != want {
						t.Errorf("%s: %q is taken by route %d (to %s)", svc.id, r.from, j, c.to)
					}
					break
				}
			}
		}
	}
}

// ownRoute returns the place of routes[i] among those without a host.
func ownRoute(routes []route, i int) int {
	n := 0
	for _, r := range routes[:i] {
		if strings.HasPrefix(r.from, "/") {
			n++
		}
	}
	return n
}

// TestClasses holds every class to its promise: the one form of a text is its
// own one form.
func TestClasses(t *testing.T) {
	for _, name := range sortedClasses() {
		t.Run(name, func(t *testing.T) {
			if _, ok := classes[name](samples[name]); !ok {
				t.Fatalf("the sample %q is refused", samples[name])
			}
			if _, ok := classes[name](""); ok {
				t.Error("accepts nothing at all")
			}
			if name == "vkvideo" || name == "vkwall" || name == "vkphoto" || name == "ytattribution" {
				return // what they read is an address's, what they return a number
			}
			text := rapid.OneOf(rapid.Just(samples[name]), rapid.StringMatching(`[@#!~]?[A-Za-z0-9_.:-]{1,24}`), rapid.String())
			rapid.Check(t, func(t *rapid.T) {
				v, ok := classes[name](text.Draw(t, "text"))
				if !ok {
					return
				}
				if again, ok := classes[name](v); !ok || again != v {
					t.Fatalf("%q became %q, %v", v, again, ok)
				}
			})
		})
	}
}

func sortedClasses() []string {
	var names []string
	for name := range classes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestCanonicalIsTheParsersOpinion holds the fast path to the parser.
func TestCanonicalIsTheParsersOpinion(t *testing.T) {
	host := rapid.OneOf(rapid.StringMatching(`([a-z][a-z0-9-]{0,6}\.){1,3}[a-z]{2,5}`), rapid.StringMatching(`([a-z0-9_-]{1,8}\.){0,3}[a-z0-9-]{1,6}`))
	path := rapid.OneOf(rapid.StringMatching(`/([A-Za-z0-9_~-]{1,6}/){0,4}`), rapid.StringMatching(`(/[A-Za-z0-9._~-]{0,6}|/\.|/\.\.|/%41){0,4}`))
	yes := 0
	rapid.Check(t, func(t *rapid.T) {
		text := "https://" + host.Draw(t, "host") + path.Draw(t, "path")
		if !canonical(text) {
			return
		}
		yes++
		a, err := parse(text)
		if err != nil {
			t.Fatalf("%q is not an address: %v", text, err)
		}
		if ch := applyService(&a); a.String() != text || !ch.IsZero() {
			t.Fatalf("%q is not canonical: %v, %v", text, a.String(), ch)
		}
		if u, ok := forwarded(&a); ok {
			t.Fatalf("%q forwards to %q", text, u)
		}
	})
	if yes == 0 {
		t.Error("never said yes")
	}
	for _, no := range []string{"", "https://", "https://example.org", "http://example.org/", "https://EXAMPLE.org/", "https://t.me/abc", "https://x.t.me/", "https://xn--a-ecp.example/", "https://1.2.3.4/", "https://example.org./", "https://a..b/", "https://www.google.com/url"} {
		if canonical(no) {
			t.Errorf("canonical(%q)", no)
		}
	}
}
