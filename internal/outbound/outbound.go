// Package outbound makes every request and connection that the node sends to
// an address which a person or a partner named: webhooks, push services, mail.
// Nothing else in the program may (internal/archtest).
//
// # Promises
//
// The address is checked when the connection is made, on the IP address that it
// is made to, so that a name which changes its address between check and use
// (DNS rebinding) gains nothing. Refused are all addresses that are not public:
// loopback, private, shared, link-local (with the metadata services of clouds),
// multicast, reserved, documentation, and IPv6 addresses that carry such an IPv4
// address inside. Only https, only port 443 (mail: 25, 465, 587). No redirects
// are followed, no proxy is used, no cookies are kept. A request ends within its
// time, and at most MaxAnswer bytes of the answer are read.
//
// The operator may name hosts with their port that are allowed although they
// are internal, for example a mail relay: for those nothing of the above but
// time and size is checked, and http is allowed.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	// MaxAnswer is how much of an answer is read, in bytes.
	MaxAnswer = 64 << 10
	// DialTime is how long a connection may take to be made.
	DialTime = 5 * time.Second
	// RequestTime is how long a request may take in all.
	RequestTime = 15 * time.Second
	maxURL      = 2048
)

// ErrRefused is in the chain of errors of connections that are not allowed.
var ErrRefused = errors.New("outbound: the address is not public")

// Options of New.
type Options struct {
	// Internal lists hosts with their port, as in "relay.example:25" or
	// "127.0.0.1:1025", that may be reached although they are not public.
	Internal []string
	// Resolver is used for names; nil: the system's.
	Resolver *net.Resolver
}

// Guard makes connections and requests. Its methods may be called
// concurrently.
type Guard struct {
	internal map[string]bool
	resolver *net.Resolver
	client   *http.Client
}

// New returns a Guard.
func New(o Options) *Guard {
	g := &Guard{internal: make(map[string]bool), resolver: o.Resolver}
	for _, h := range o.Internal {
		g.internal[strings.ToLower(h)] = true
	}
	g.client = &http.Client{
		Timeout: RequestTime,
		Transport: limited{&http.Transport{
			DialContext:            g.DialContext,
			TLSHandshakeTimeout:    DialTime,
			ResponseHeaderTimeout:  RequestTime,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConns:           20,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}, g},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return g
}

// Client returns the client for requests. An answer with a redirect is
// returned as it is.
func (g *Guard) Client() *http.Client { return g.client }

// Close closes idle connections.
func (g *Guard) Close() { g.client.CloseIdleConnections() }

// CheckURL says early, and to a person, whether requests to the address could
// be allowed: a problem of kind Invalid if not. What its name resolves to is
// checked when it is used.
func (g *Guard) CheckURL(s string) (*url.URL, error) {
	bad := func(format string, args ...any) (*url.URL, error) {
		return nil, problem.Newf(problem.Invalid, format, args...).WithFix("enter a public address that begins with https://")
	}
	if len(s) > maxURL {
		return bad("the address has %d characters, and %d are allowed", len(s), maxURL)
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(s, "\\ \t\r\n") {
		return bad("the address cannot be read")
	}
	if u.User != nil {
		return bad("the address has a name or a password in it")
	}
	u.Fragment = ""
	port, ok := portOf(u)
	if ok && g.internal[strings.ToLower(net.JoinHostPort(u.Hostname(), port))] {
		return u, nil
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme != "https":
		return bad("the address does not begin with https://")
	case port != "443":
		return bad("the port %s is not allowed", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !Public(ip) {
			return bad("the address is not public")
		}
		return u, nil
	}
	// Names that only resolve inside, and the many ways to write a number.
	if !strings.Contains(host, ".") || strings.ContainsAny(host, ":%[]") || numeric(host) {
		return bad("%q is not the name of a public host", host)
	}
	for _, end := range []string{".local", ".localhost", ".internal", ".lan", ".home", ".corp", ".intranet", ".home.arpa", ".onion", ".test", ".invalid"} {
		if strings.HasSuffix(host, end) {
			return bad("%q is not the name of a public host", host)
		}
	}
	return u, nil
}

func portOf(u *url.URL) (string, bool) {
	if p := u.Port(); p != "" {
		return p, true
	}
	switch u.Scheme {
	case "https":
		return "443", true
	case "http":
		return "80", true
	}
	return "", false
}

// numeric reports whether the last label looks like a number: such names are
// addresses in disguise (0x7f.1, 2130706433, 127.1).
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return true
	}
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	return strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
}

var ports = []string{"443", "25", "465", "587"}

// DialContext connects to a public address, or to one that the operator named.
// The error of a refused one has ErrRefused in its chain.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("%w: network %s", ErrRefused, network)
	}
	d := net.Dialer{Timeout: DialTime, Resolver: g.resolver}
	if !g.internal[strings.ToLower(address)] {
		if _, port, err := net.SplitHostPort(address); err != nil || !slices.Contains(ports, port) {
			return nil, fmt.Errorf("%w: a port other than %s", ErrRefused, strings.Join(ports, ", "))
		}
		d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(resolved)
			if err != nil || !Public(ip.Addr()) {
				return ErrRefused // the address is not repeated: it says what is inside
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// limited cuts answers off and refuses schemes.
type limited struct {
	next  http.RoundTripper
	guard *Guard
}

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if port, _ := portOf(r.URL); r.URL.Scheme != "https" && !l.guard.internal[strings.ToLower(net.JoinHostPort(r.URL.Hostname(), port))] {
		return nil, fmt.Errorf("%w: scheme %s", ErrRefused, r.URL.Scheme)
	}
	res, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, MaxAnswer), res.Body}
	return res, nil
}

// CloseIdleConnections lets http.Client close them.
func (l limited) CloseIdleConnections() {
	if t, ok := l.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}
