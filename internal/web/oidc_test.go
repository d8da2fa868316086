package web_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// people are who the provider knows.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User         { return p[id] }
func (p people) GetUserByUsername(name string) *storage.User { return p[name] }
func (p people) ExampleClientID() string                     { return storage.ServiceUserID }

// provider is a real OpenID provider (zitadel/oidc, certified) on a socket.
func provider(t *testing.T, known people) (issuer string, clients map[string]*storage.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer = strings.Replace("http://"+l.Addr().String(), "127.0.0.1", "localhost", 1)
	clients = map[string]*storage.Client{}
	was := slog.Default()
	t.Cleanup(func() { slog.SetDefault(was) }) // which the provider replaces
	s := httptest.NewUnstartedServer(exampleop.SetupServer(issuer, storage.NewStorageWithClients(known, clients), slog.New(slog.DiscardHandler), false, op.WithAllowInsecure()))
	if err := s.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return issuer, clients
}

// TestOIDC signs in at a real provider: an invitation taken up by the verified
// address, the link from then on, who is refused, an explicit link, and answers
// that belong to another browser or another request.
func TestOIDC(t *testing.T) {
	known := people{}
	for name, verified := range map[string]bool{"budi": true, "citra": false, "zul": true, "ayu": true} {
		known[name] = &storage.User{ID: name, Username: name, Password: "verysecure", Email: name + "@nusa.example", EmailVerified: verified}
	}
	issuer, clients := provider(t, known)
	w := newWorldWith(t, func(o *app.Options) {
		o.OIDC = app.OIDC{Issuer: issuer, ClientID: "siaga", Name: "Nusa account"}
	})
	clients["siaga"] = storage.NativeClient("siaga", w.url+"/oidc/callback")
	ctx := t.Context()
	shell := access.Actor{Partner: "nusa", Kind: access.Government, Shell: true, Roles: []access.Role{access.Administrator}}
	for _, name := range []string{"Budi", "Citra"} {
		_, _, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: "nusa", Name: name, Email: strings.ToLower(name) + "@nusa.example", Roles: []access.Role{access.Officer}})
		w.ok(err)
	}

	// enter signs in as a person of the provider and returns the page that the
	// browser ends on.
	enter := func(who, as, start string) page {
		t.Helper()
		p := w.get(who, start)
		login := p.path
		if !strings.HasPrefix(login, "/login/username") {
			t.Fatalf("%s came to %s (%d), not to the provider", start, login, p.status)
		}
		q, err := url.Parse(login)
		w.ok(err)
		res, err := w.browser[who].PostForm(issuer+"/login/username", url.Values{"username": {as}, "password": {"verysecure"}, "id": {q.Query().Get("authRequestID")}})
		w.ok(err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		w.ok(err)
		return page{status: res.StatusCode, body: string(b), path: res.Request.URL.RequestURI(), header: res.Header}
	}
	fresh := func(name string) string {
		w.browser[name] = w.client("")
		return name
	}

	if p := w.get("nobody", "/sign-in"); !strings.Contains(p.body, "Nusa account") {
		t.Error("the page does not offer the provider")
	}
	p := enter(fresh("b1"), "budi", "/oidc/start?next=/partners")
	if p.status != http.StatusOK || p.path != "/partners" {
		t.Fatalf("an invitation by its verified address: %d at %s", p.status, p.path)
	}
	if p := enter(fresh("b2"), "budi", "/oidc/start"); p.status != http.StatusOK || p.path != "/" {
		t.Errorf("by the link: %d at %s", p.status, p.path)
	}
	for as, why := range map[string]string{"zul": "whom nobody invited", "citra": "whose address is not verified"} {
		if p := enter(fresh(as), as, "/oidc/start"); p.status != http.StatusForbidden {
			t.Errorf("one %s: %d at %s", why, p.status, p.path)
		}
		if p := w.get(as, "/partners"); !strings.HasPrefix(p.path, "/sign-in") {
			t.Errorf("one %s is signed in at %s", why, p.path)
		}
	}

	// Linking is an act of who is signed in.
	if p := enter("officer", "ayu", "/oidc/start?do=link"); p.status != http.StatusOK || p.path != "/settings/keys?sent=link_added" {
		t.Fatalf("linking: %d at %s", p.status, p.path)
	}
	_, err := w.node.Partners.SignInOIDC(ctx, partner.Identity{Issuer: issuer, Subject: "ayu"}, partner.Client{})
	if problem.KindOf(err) != problem.Denied {
		// The world's people never took up an invitation: a link alone gives no way in.
		t.Errorf("a member who never took up the invitation: %v", err)
	}

	// An answer that another browser got, an answer without a request, and one
	// that is sent again.
	for name, answer := range map[string]string{
		"without a request":    "/oidc/callback?code=x&state=y",
		"with an empty state":  "/oidc/callback?code=x&state=",
		"of another provider":  "/oidc/callback?code=x&state=y&iss=https://elsewhere.example",
		"that says it refused": "/oidc/callback?error=access_denied&state=y",
	} {
		if p := w.get(fresh("stranger"), answer); p.status != http.StatusUnprocessableEntity || len(p.header["Set-Cookie"]) > 1 {
			t.Errorf("an answer %s: %d", name, p.status)
		}
	}
	stolen := w.get(fresh("victim"), "/oidc/start")
	q, err := url.Parse(stolen.path)
	w.ok(err)
	thief := w.client("")
	thief.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/oidc/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	res, err := thief.PostForm(issuer+"/login/username", url.Values{"username": {"budi"}, "password": {"verysecure"}, "id": {q.Query().Get("authRequestID")}})
	w.ok(err)
	_ = res.Body.Close()
	callback, err := res.Location()
	w.ok(err)
	if p := w.get(fresh("other"), callback.RequestURI()); p.status != http.StatusUnprocessableEntity {
		t.Errorf("an answer in a browser that did not ask: %d", p.status)
	}
	if p := w.get("victim", callback.RequestURI()); p.status != http.StatusOK {
		t.Errorf("the same answer where it was asked: %d", p.status)
	}
	if p := w.get("victim", callback.RequestURI()); p.status != http.StatusUnprocessableEntity {
		t.Errorf("the same answer again: %d", p.status)
	}
}

// A provider that is away keeps nobody from signing in another way.
func TestOIDCAway(t *testing.T) {
	w := newWorldWith(t, func(o *app.Options) {
		o.OIDC = app.OIDC{Issuer: "http://localhost:1", ClientID: "siaga"}
	})
	if p := w.get("nobody", "/sign-in"); p.status != http.StatusOK {
		t.Errorf("the page: %d", p.status)
	}
	if p := w.get("nobody", "/oidc/start"); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
		t.Errorf("the provider: %d", p.status)
	}
}
