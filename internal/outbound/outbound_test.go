package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/problem"
)

// bad is what nobody may make the node ask for.
var bad = []string{
	"", "https://", "https:///path", "https:example.org", "example.org", "//example.org/x", "/hook",
	"http://example.org/hook", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "javascript:alert(1)", "data:text/plain,x", "unix:///run/x.sock",
	"https://user:secret@example.org/", "https://user@example.org/", "https://example.org@10.0.0.1/",
	"https://example.org:80/", "https://example.org:22/", "https://example.org:6379/", "https://example.org:8443/", "https://example.org:0/", "https://example.org:99999/",
	"https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://foo.localhost/", "https://router.lan/", "https://db.internal/", "https://printer.local/", "https://x.home.arpa/",
	"https://metadata/", "https://metadata.google.internal/computeMetadata/v1/", "https://kubernetes.default.svc/", "https://intranet/",
	"https://127.0.0.1/", "https://127.0.0.1:443/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://0/", "https://0.0.0.0/",
	"https://10.0.0.1/", "https://10.255.255.255/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.0.1/", "https://100.64.0.1/", "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/",
	"https://100.100.100.200/", "https://168.63.129.16/", "https://192.0.0.192/", "https://192.0.2.1/", "https://198.18.0.1/", "https://198.51.100.7/", "https://203.0.113.7/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/",
	"https://[::]/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:10.0.0.1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::10.0.0.1]/", "https://[64:ff9b:1::1]/",
	"https://[2002:7f00:1::]/", "https://[2002:a00:1::1]/", "https://[2002:c0a8:101::]/", "https://[2001:0:53aa:64c:0:fbff:80ff:fffe]/", "https://[2001:db8::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fec0::1]/", "https://[ff02::1]/",
	"https://[2001:470::5efe:7f00:1]/", "https://[2001:470::200:5efe:a00:1]/", "https://[100::1]/", "https://[4000::1]/",
	"https://example.org\\@127.0.0.1/", "https://exa mple.org/", "https://example.org/\r\nHost: x", "https://example.org\t/", "https://%31%32%37.0.0.1/", "https://①②⑦.0.0.1/",
	"https://" + strings.Repeat("a", 3000) + ".org/",
}

// TestBadAddresses: whatever way of writing is chosen, the check or the
// connection refuses it.
func TestBadAddresses(t *testing.T) {
	if len(bad) < 60 {
		t.Fatalf("%d addresses", len(bad))
	}
	g := outbound.New(outbound.Options{Resolver: answers(t, func(string) []string { return []string{"127.0.0.1"} })})
	defer g.Close()
	for _, s := range bad {
		u, err := g.CheckURL(s)
		if err == nil {
			t.Logf("%q passes the first look as %s", s, u)
		} else if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: %v", s, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s, strings.NewReader("x"))
		if err != nil {
			continue // cannot even be asked for
		}
		begun := time.Now()
		res, err := g.Client().Do(req)
		if err == nil {
			res.Body.Close()
			t.Errorf("%q was asked for: %s", s, res.Status)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%q took %s to refuse", s, took)
		}
	}
}

// answers is a resolver that answers every question with what say says. It may
// change its mind between two questions.
func answers(t *testing.T, say func(name string) []string) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() { // ends when c is closed
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var p dnsmessage.Parser
			h, err := p.Start(buf[:n])
			if err != nil {
				continue
			}
			q, err := p.Question()
			if err != nil {
				continue
			}
			b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionAvailable: true})
			_ = b.StartQuestions()
			_ = b.Question(q)
			_ = b.StartAnswers()
			for _, a := range say(strings.TrimSuffix(q.Name.String(), ".")) {
				ip := netip.MustParseAddr(a)
				rh := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
				if ip.Is4() && q.Type == dnsmessage.TypeA {
					_ = b.AResource(rh, dnsmessage.AResource{A: ip.As4()})
				}
				if ip.Is6() && q.Type == dnsmessage.TypeAAAA {
					_ = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: ip.As16()})
				}
			}
			msg, err := b.Finish()
			if err == nil {
				_, _ = c.WriteTo(msg, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// TestRebinding: a name that looks public when it is checked and points inside
// when it is used, or offers both at once, reaches nothing inside.
func TestRebinding(t *testing.T) {
	var hits atomic.Int64
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer inside.Close()
	for _, inner := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "64:ff9b::7f00:1"} {
		g := outbound.New(outbound.Options{Resolver: answers(t, func(string) []string { return []string{inner} })})
		if _, err := g.CheckURL("https://rebind.example.org/hook"); err != nil {
			t.Fatal(err)
		}
		_, err := g.DialContext(t.Context(), "tcp", "rebind.example.org:443")
		if !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("a name for %s: %v", inner, err)
		}
		g.Close()
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests came inside", hits.Load())
	}
}

func serve(t *testing.T, h http.HandlerFunc) (*outbound.Guard, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	g := outbound.New(outbound.Options{Internal: []string{strings.TrimPrefix(s.URL, "http://")}})
	t.Cleanup(g.Close)
	return g, s.URL
}

func TestInternalHostsByName(t *testing.T) {
	g, url := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "here") })
	if _, err := g.CheckURL(url + "/x"); err != nil {
		t.Error(err)
	}
	res, err := g.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "here" {
		t.Errorf("got %q", b)
	}
	// The same host under another port or name is not meant.
	other := strings.Replace(url, "127.0.0.1", "127.0.0.2", 1)
	if _, err := g.CheckURL(other); err == nil {
		t.Errorf("%s is allowed", other)
	}
	if _, err := g.Client().Get(other); !errors.Is(err, outbound.ErrRefused) {
		t.Errorf("%s: %v", other, err)
	}
}

// TestRedirects are not followed, wherever they lead.
func TestRedirects(t *testing.T) {
	var followed atomic.Int64
	g, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/next" {
			followed.Add(1)
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	for _, to := range []string{"/next", url + "/next", "http://169.254.169.254/", "file:///etc/passwd"} {
		res, err := g.Client().Get(url + "/?to=" + to)
		if err != nil {
			t.Errorf("to %s: %v", to, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("to %s: %s", to, res.Status)
		}
	}
	if followed.Load() != 0 {
		t.Error("followed")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	g, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	res, err := g.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, _ := io.Copy(io.Discard, res.Body); n != outbound.MaxAnswer {
		t.Errorf("%d bytes were read", n)
	}
}

// TestHanging: a server that never answers costs a bounded time.
func TestHanging(t *testing.T) {
	stop := make(chan struct{})
	g, url := serve(t, func(http.ResponseWriter, *http.Request) { <-stop })
	defer close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if g.Client().Timeout <= 0 || g.Client().Timeout > time.Minute {
		t.Errorf("without a context a request may take %s", g.Client().Timeout)
	}
}

func TestPublic(t *testing.T) {
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"} {
		if !outbound.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	if outbound.Public(netip.Addr{}) {
		t.Error("nothing is public")
	}
	// Both forms of any IPv4 address are judged alike.
	for i := range uint32(70000) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], i*61_357)
		ip := netip.AddrFrom4(b)
		if outbound.Public(ip) != outbound.Public(netip.AddrFrom16(ip.As16())) {
			t.Fatal(ip)
		}
	}
}

func TestGoodAddresses(t *testing.T) {
	g := outbound.New(outbound.Options{})
	for _, s := range []string{"https://hooks.example.org/a?b=c", "https://HOOKS.example.org:443/", "https://8.8.8.8/", "https://[2606:4700::1111]/", "https://xn--bcher-kva.example.org/", "https://example.org/#part"} {
		if _, err := g.CheckURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
