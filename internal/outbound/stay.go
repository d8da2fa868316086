package outbound

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Stay returns a transport that refuses what a redirect of one of these hosts
// asks for anywhere but at that host, by https. It is for libraries that dial by
// themselves and follow redirects: a host that was taken over must not make the
// node ask addresses inside. All else it leaves to base.
func Stay(base http.RoundTripper, hosts ...string) http.RoundTripper { return staying{base, hosts} }

type staying struct {
	base  http.RoundTripper
	hosts []string
}

func (s staying) RoundTrip(r *http.Request) (*http.Response, error) {
	for from := r.Response; from != nil && from.Request != nil; from = from.Request.Response {
		if host := from.Request.URL.Host; slices.Contains(s.hosts, host) && (r.URL.Host != host || r.URL.Scheme != "https") {
			if r.Body != nil {
				_ = r.Body.Close() // a transport closes it, also when it refuses
			}
			return nil, fmt.Errorf("%s redirects elsewhere: %w", host, ErrRefused)
		}
	}
	return s.base.RoundTrip(r)
}

var stayOnce sync.Once

// StayAt puts Stay around the process's own transport, which such libraries
// use; the first call alone counts.
func StayAt(hosts ...string) {
	stayOnce.Do(func() { http.DefaultTransport = Stay(http.DefaultTransport, hosts...) })
}
