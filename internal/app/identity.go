package app

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/oidc"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/problem"
)

// SignIn are the settings of sessions and invitations.
type SignIn struct {
	SessionIdle time.Duration `yaml:"session_idle"` // how long a session may be unused; 30m unless set
	SessionMax  time.Duration `yaml:"session_max"`  // how long a session lasts in all; 12h unless set
	Invitation  time.Duration `yaml:"invitation"`   // how long an invitation can be taken up; 72h unless set
	BreakGlass  time.Duration `yaml:"break_glass"`  // how long a broken glass stays open; 60m unless set
}

// OIDC are the settings of an OpenID provider where people may sign in.
type OIDC struct {
	Issuer     string `yaml:"issuer"`             // address of an OpenID provider where members may sign in, such as https://id.nusa.example; none unless set
	ClientID   string `yaml:"client_id"`          // ID that the provider gave this node
	SecretFile string `yaml:"client_secret_file"` // file that holds the secret that the provider gave this node; a public client unless set
	Name       string `yaml:"name"`               // what people call the provider; its host unless set
}

const (
	leastIdle = time.Minute
	mostMax   = 30 * 24 * time.Hour
)

func (o *Options) checkIdentity(add func(key, fix, format string, args ...any)) {
	for _, d := range []struct {
		key         string
		v           time.Duration
		least, most time.Duration
	}{
		{"sign_in.session_idle", o.SignIn.SessionIdle, leastIdle, mostMax},
		{"sign_in.session_max", o.SignIn.SessionMax, leastIdle, mostMax},
		{"sign_in.invitation", o.SignIn.Invitation, leastIdle, mostMax},
		{"sign_in.break_glass", o.SignIn.BreakGlass, leastIdle, 24 * time.Hour},
	} {
		if d.v != 0 && (d.v < d.least || d.v > d.most) {
			add(d.key, "use a time between "+d.least.String()+" and "+d.most.String(), "%s is too short or too long", d.v)
		}
	}
	c := o.OIDC
	if c.Issuer == "" {
		if c != (OIDC{}) {
			add("oidc.issuer", "set the address of the provider, or remove the section oidc", "the OpenID provider has no address")
		}
		return
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || (u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost")) {
		add("oidc.issuer", "write it as https://id.nusa.example, as the provider's own documents do", "%q is not the address of an OpenID provider", c.Issuer)
	}
	if c.ClientID == "" {
		add("oidc.client_id", "register this node at the provider, with the address PUBLIC_URL/oidc/callback, and set the ID that it gives", "the OpenID client has no ID")
	}
}

// provider is where people may sign in besides here; nil if nowhere.
func (n *Node) provider() (*oidc.Provider, error) {
	c := n.o.OIDC
	if c.Issuer == "" {
		return nil, nil //nolint:nilnil // documented
	}
	secret := ""
	if c.SecretFile != "" {
		b, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "the file with the OpenID client's secret cannot be read: %v", err).WithFix("correct oidc.client_secret_file")
		}
		secret = strings.TrimSpace(string(b))
	}
	// The operator named the issuer, which may be on the operator's own network;
	// what its documents name besides must be public.
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the OpenID provider: %w", err)
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80"}[u.Scheme], "443")
	guard := outbound.New(outbound.Options{Internal: append([]string{net.JoinHostPort(u.Hostname(), port)}, n.o.InternalHosts...)})
	return oidc.New(oidc.Options{
		Issuer: c.Issuer, ClientID: c.ClientID, Secret: secret, Name: c.Name, Redirect: n.URL + "/oidc/callback", Client: guard.Client(), Now: n.o.Now,
	})
}
