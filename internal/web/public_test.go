package web_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/siaga-crp/siaga/internal/public"
)

// The public page is small, without script, account or cookie, the same for
// all, and tells nothing that was not made public.
func TestPublicPage(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/public", "/public/incidents/" + w.incident, "/public/verify", "/public/status.json", "/public/status.dsse.json", "/public/feed.atom"} {
		p := w.get("nobody", path)
		if p.status != http.StatusOK {
			t.Fatalf("%s: %d", path, p.status)
		}
		if c := p.header.Get("Cache-Control"); !strings.HasPrefix(c, "public, max-age=") || p.header.Get("ETag") == "" || len(p.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: Cache-Control %q, ETag %q, cookies %v", path, c, p.header.Get("ETag"), p.header["Set-Cookie"])
		}
		again := w.do("nobody", http.MethodGet, path, nil, http.Header{"If-None-Match": {p.header.Get("ETag")}})
		if again.status != http.StatusNotModified || again.body != "" {
			t.Errorf("%s: asked with its tag it answers %d with %d bytes", path, again.status, len(again.body))
		}
		signedIn := w.get("officer", path)
		if strings.Contains(signedIn.body, "Ayu") || signedIn.header.Get("ETag") != p.header.Get("ETag") {
			t.Errorf("%s differs for one who is signed in: caches would mix them up", path)
		}
		if strings.Contains(p.body, "lensa.example") || strings.Contains(p.body, w.exercise) {
			t.Errorf("%s tells what is not public", path)
		}
		if low := strings.ToLower(p.body); strings.Contains(low, "sea-crp") || strings.Contains(low, "voting") {
			t.Errorf("%s tells of a vote that goes on", path)
		}
		if !strings.HasPrefix(path, "/public/status") && !strings.HasSuffix(path, ".atom") && len(p.all("script", "")) > 0 {
			t.Errorf("%s has a script", path)
		}
	}
	home := w.get("nobody", "/public?lang=id")
	size := len(home.body)
	for _, n := range home.all("link", "href") {
		if strings.HasPrefix(attr(n, "href"), "/static/") {
			size += len(w.get("nobody", attr(n, "href")).body)
		}
	}
	if size > 60_000 {
		t.Errorf("the public page has %d bytes with its files, want under 60,000", size)
	}
	t.Logf("public page: %d bytes, with its files %d", len(home.body), size)
	if !strings.Contains(home.body, w.incident) || !strings.Contains(home.body, "Publik") {
		t.Error("the public update is not on the page")
	}
	if p := w.get("nobody", "/public/incidents/"+w.exercise); p.status != http.StatusNotFound {
		t.Errorf("an incident without a public update answers %d", p.status)
	}
}

// The signed JSON verifies with the journal's public key, and says the same.
func TestPublicStatusIsSigned(t *testing.T) {
	w := newWorld(t)
	var env public.Envelope
	if err := json.Unmarshal([]byte(w.get("nobody", "/public/status.dsse.json").body), &env); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(env.Payload)
	w.ok(err)
	verifier, err := note.NewVerifier(w.node.Keys.VKey)
	w.ok(err)
	if len(env.Signatures) != 1 || env.Signatures[0].KeyID != w.node.Keys.VKey || env.PayloadType != public.PayloadType {
		t.Fatalf("envelope %+v", env)
	}
	sig, err := base64.StdEncoding.DecodeString(env.Signatures[0].Sig)
	w.ok(err)
	if len(sig) != ed25519.SignatureSize || !verifier.Verify(public.PAE(env.PayloadType, payload), sig) {
		t.Fatal("the signature does not verify")
	}
	payload[10] ^= 1
	if verifier.Verify(public.PAE(env.PayloadType, payload), sig) {
		t.Fatal("a changed document verifies")
	}
	payload[10] ^= 1
	var doc public.Document
	w.ok(json.Unmarshal(payload, &doc))
	if doc.Format != public.Format || len(doc.Incidents) != 1 || doc.Incidents[0].ID != w.incident || doc.Incidents[0].Updates[0].Texts["id"] != "Publik" {
		t.Fatalf("document %+v", doc)
	}
	var feed struct {
		Entries []struct {
			ID      string `xml:"id"`
			Content string `xml:"content"`
		} `xml:"entry"`
	}
	w.ok(xml.Unmarshal([]byte(w.get("nobody", "/public/feed.atom").body), &feed))
	if len(feed.Entries) != 2 || feed.Entries[0].ID == feed.Entries[1].ID || feed.Entries[1].Content != "Publik" {
		t.Fatalf("feed %+v", feed)
	}
}

// When the store is away, the last good copy is shown with its age.
func TestPublicPageWithoutStore(t *testing.T) {
	w := newWorld(t)
	s := public.New(public.Options{Log: w.node.Log, Now: w.clock, Node: "Nusa"})
	first, err := s.Current(t.Context())
	w.ok(err)
	w.ok(w.node.Close())
	w.closed = true
	w.late = 600e9
	last, err := s.Current(t.Context())
	w.ok(err)
	if !last.Old || last.Tag != first.Tag || !last.MadeAt.Equal(first.MadeAt) {
		t.Fatalf("without the store: %+v", last)
	}
	if _, err := public.New(public.Options{Log: w.node.Log, Now: w.clock, Node: "Nusa"}).Current(t.Context()); err == nil {
		t.Fatal("nothing was ever read, and yet there is a copy")
	}
}

// What is public comes compressed to whoever can read it so, and small: the
// whole first visit (page, stylesheet, icon) is less than 30 kB on the line. What
// is shown to people who are signed in never is: it holds secrets.
func TestPublicIsSmallOnTheLine(t *testing.T) {
	w := newWorld(t)
	line := func(who, path, accept string) (size int, h http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
		w.ok(err)
		req.Header.Set("Accept-Encoding", accept)
		res, err := w.browser[who].Transport.RoundTrip(req)
		w.ok(err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		w.ok(err)
		return len(b), res.Header
	}
	w.browser["nobody"].Transport = &http.Transport{DisableCompression: true}
	t.Cleanup(w.browser["nobody"].Transport.(*http.Transport).CloseIdleConnections)
	total := 0
	p := w.get("nobody", "/public")
	for _, path := range append([]string{"/public"}, attr(p.all("link", "rel")[0], "href"), attr(p.all("link", "rel")[1], "href")) {
		size, h := line("nobody", path, "gzip")
		plain, hp := line("nobody", path, "identity")
		if plain > 1024 && (h.Get("Content-Encoding") != "gzip" || size > plain/2) || hp.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d bytes with gzip (%q), %d without (%q)", path, size, h.Get("Content-Encoding"), plain, hp.Get("Content-Encoding"))
		}
		if plain > 1024 && !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s: Vary %q would let a cache mix them up", path, h.Values("Vary"))
		}
		total += size
	}
	t.Logf("a first visit is %d bytes", total)
	if total > 30_000 {
		t.Errorf("a first visit is %d bytes, want at most 30,000", total)
	}
	w.browser["officer"].Transport = w.browser["nobody"].Transport
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/", nil)
	w.ok(err)
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := w.browser["officer"].Do(req)
	w.ok(err)
	_ = res.Body.Close()
	if e := res.Header.Get("Content-Encoding"); e != "" {
		t.Errorf("the board comes as %q", e)
	}
}
