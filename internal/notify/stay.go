package notify

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/siaga-crp/siaga/internal/outbound"
)

// fixedHosts are those of the services. The library that speaks to them dials
// by itself, by the process's own transport, and follows redirects.
var fixedHosts = []string{"api.telegram.org", "hooks.slack.com", "discord.com", "api.pushover.net", "api.pushbullet.com"}

// Stay returns a transport that refuses what a service's redirect asks for
// anywhere but at that service: a host that was taken over must not make the
// node ask addresses inside. All else it leaves to base.
func Stay(base http.RoundTripper) http.RoundTripper { return staying{base} }

type staying struct{ base http.RoundTripper }

func (s staying) RoundTrip(r *http.Request) (*http.Response, error) {
	for from := r.Response; from != nil && from.Request != nil; from = from.Request.Response {
		if host := from.Request.URL.Host; slices.Contains(fixedHosts, host) && (r.URL.Host != host || r.URL.Scheme != "https") {
			if r.Body != nil {
				_ = r.Body.Close() // a transport closes it, also when it refuses
			}
			return nil, fmt.Errorf("%s redirects elsewhere: %w", host, outbound.ErrRefused)
		}
	}
	return s.base.RoundTrip(r)
}

var stayOnce sync.Once

// StayAtServices puts Stay around the process's own transport, once.
func StayAtServices() { stayOnce.Do(func() { http.DefaultTransport = Stay(http.DefaultTransport) }) }
