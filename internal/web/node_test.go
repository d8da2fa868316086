package web_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// hostile is text that must never become markup, or turn what stands after it.
const hostile = `<script>alert(1)</script><b onclick="x">"'&` + "\u202egnp.exe\u2066"

// world is a whole node with partners, people and an incident in progress.
type world struct {
	t        testing.TB
	node     *app.Node
	url      string
	browser  map[string]*http.Client
	actor    map[string]access.Actor
	key      map[string]string // sessions
	incident string
	exercise string
	signal   string        // active, by lensa
	proposed string        // by lensa, which nusa may approve
	version  string        // of sea-crp, proposed by lensa
	late     time.Duration // by which clock is ahead
	shell    access.Actor  // the operator
	closed   bool          // the node was closed by the test
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, func(*app.Options) {})
}

// newWorldWith is newWorld with other settings.
func newWorldWith(t testing.TB, set func(*app.Options)) *world {
	t.Helper()
	w := newBareWorldWith(t, set)
	ctx := context.Background()
	for _, p := range []partner.NewPartner{
		{Name: "Nusa", Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta"},
		{Name: "Lensa", Kind: access.Platform, Country: "ID", Contact: hostile},
		{Name: "Warga", Kind: access.CivilSociety, Country: "ID"},
	} {
		_, err := w.node.Partners.Add(ctx, w.shell, p)
		w.ok(err)
	}
	all := []access.Role{access.Administrator, access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	for name, m := range map[string]partner.NewMember{
		"officer":  {Partner: "nusa", Name: "Ayu", Roles: all},
		"platform": {Partner: "lensa", Name: "Bima", Roles: all},
		"reviewer": {Partner: "lensa", Name: "Citra", Roles: []access.Role{access.Reviewer}},
		"observer": {Partner: "warga", Name: "Dewi", Roles: []access.Role{access.Observer}},
		"operator": {Partner: "secretariat", Name: "Eko", Roles: []access.Role{access.Operator}},
	} {
		w.enter(w.shell, name, m)
	}
	w.story(ctx)
	return w
}

// newBareWorld is a node as it is after siaga init: one partner and nobody.
func newBareWorld(t testing.TB) *world {
	t.Helper()
	return newBareWorldWith(t, func(*app.Options) {})
}

func newBareWorldWith(t testing.TB, set func(*app.Options)) *world {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir() + "/node"
	w := &world{t: t, browser: map[string]*http.Client{}, actor: map[string]access.Actor{}, key: map[string]string{}}
	made, err := app.Init(ctx, app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}})
	w.ok(err)
	// The node must know its address, which passkeys are bound to.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	w.url = strings.Replace("http://"+listener.Addr().String(), "127.0.0.1", "localhost", 1)
	o := app.Options{Data: dir, Listen: "127.0.0.1:0", PublicURL: w.url, Log: slog.New(slog.DiscardHandler), Cost: partner.Cost{MemoryKiB: 64, Passes: 1}}
	set(&o)
	w.node, err = app.New(ctx, o)
	w.ok(err)
	w.shell = partner.Shell(made.Partner)
	server := httptest.NewUnstartedServer(w.node.Handler())
	w.ok(server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if !w.closed {
			w.ok(w.node.Close())
		}
	})
	w.browser["nobody"] = w.client("")
	return w
}

// enter adds a member and signs them in under a name.
func (w *world) enter(by access.Actor, name string, m partner.NewMember) access.Actor {
	w.t.Helper()
	ctx := context.Background()
	m.Email = name + "@example.org"
	member, _, err := w.node.Partners.AddMember(ctx, by, m)
	w.ok(err)
	return w.open(name, member.ID)
}

// open signs a member in under a name.
func (w *world) open(name, member string) access.Actor {
	w.t.Helper()
	ctx := context.Background()
	code, err := w.node.Partners.IssueOpen(ctx, member, time.Hour)
	w.ok(err)
	w.key[name], err = w.node.Partners.Open(ctx, code)
	w.ok(err)
	w.actor[name], _, err = w.node.Partners.BySession(ctx, w.key[name])
	w.ok(err)
	w.browser[name] = w.client(w.key[name])
	return w.actor[name]
}

func (w *world) clock() time.Time { return time.Now().Add(w.late) }

func (w *world) client(session string) *http.Client {
	jar, err := cookiejar.New(nil)
	w.ok(err)
	if session != "" {
		u, err := url.Parse(w.url)
		w.ok(err)
		jar.SetCookies(u, []*http.Cookie{{Name: "siaga_session", Value: session}})
	}
	return &http.Client{Jar: jar, Timeout: 30 * time.Second}
}

func (w *world) story(ctx context.Context) {
	w.t.Helper()
	nusa, lensa := w.actor["officer"], w.actor["platform"]
	no, yes := false, true
	inc, err := w.node.Incidents.Notify(ctx, lensa, incident.Notice{Title: "Attack " + hostile, Description: hostile, Where: hostile, Country: "ID", URLs: []string{"https://lensa.example/live/9"}, Live: "yes", Exercise: &no})
	w.ok(err)
	w.incident = inc.ID
	_, err = w.node.Incidents.Assess(ctx, nusa, inc.ID, "", []incident.Answer{{Criterion: "real_world_attack", Answer: "yes", Evidence: hostile}, {Criterion: "perpetrator_content", Answer: "yes", Evidence: "seen"}})
	w.ok(err)
	_, err = w.node.Incidents.Act(ctx, nusa, inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: hostile})
	w.ok(err)
	_, err = w.node.Incidents.AddAsset(ctx, lensa, inc.ID, incident.NewAsset{Kind: "video", Producer: "perpetrator", Text: hostile, Where: "https://lensa.example/v/1"})
	w.ok(err)
	quality := 90
	propose := func(value string) signal.Signal {
		sig, err := w.node.Signals.Propose(ctx, lensa, signal.Proposal{Incident: inc.ID, Kind: "pdq", Value: value, Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Review, TLP: "amber", Note: hostile, Group: "G-1", Provenance: signal.Provenance{Quality: &quality}})
		w.ok(err)
		return sig
	}
	sig := propose(strings.Repeat("0f1e2d3c4b5a6978", 4))
	sig, err = w.node.Signals.Approve(ctx, nusa, sig.ID, signal.Decision{Reason: hostile})
	w.ok(err)
	w.signal = sig.ID
	w.proposed = propose(strings.Repeat("f0e1d2c3b4a59687", 4)).ID
	ex, err := w.node.Incidents.Notify(ctx, nusa, incident.Notice{Title: "Samudra", Description: "practice", Exercise: &yes})
	w.ok(err)
	w.exercise = ex.ID
	def, err := protocol.Lookup("sea-crp")
	w.ok(err)
	ver, err := w.node.Incidents.ProposeVersion(ctx, lensa, []byte(strings.Replace(string(def.Source), "version: 1.0.0", "version: 1.1.0", 1)), hostile)
	w.ok(err)
	w.version = ver.Hash
	_, err = w.node.Incidents.Ask(ctx, lensa, inc.ID, []string{"nusa"}, hostile)
	w.ok(err)
	_, err = w.node.Incidents.OfferHandover(ctx, nusa, inc.ID, "sea-crp", "lensa", hostile)
	w.ok(err)
	_, err = w.node.Incidents.SaveDraft(ctx, nusa, inc.ID, incident.NewUpdate{Texts: map[string]string{"en": hostile, "th": hostile}})
	w.ok(err)
	w.publish(nusa, lensa, inc.ID, incident.NewUpdate{Texts: map[string]string{"en": hostile, "id": "Publik"}, Reason: hostile})
	_, err = w.node.Incidents.PostUpdate(ctx, nusa, inc.ID, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": hostile, "id": "Serangan"}})
	w.ok(err)
}

// publish makes an update public, as two people do.
func (w *world) publish(first, second access.Actor, id string, u incident.NewUpdate) {
	w.t.Helper()
	u.Audience = "public"
	inc, err := w.node.Incidents.PostUpdate(context.Background(), first, id, u)
	w.ok(err)
	_, err = w.node.Incidents.ConfirmStatement(context.Background(), second, id, len(inc.Statements))
	w.ok(err)
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// page is an answer and its document.
type page struct {
	status int
	header http.Header
	body   string
	doc    *html.Node
	path   string // after redirects
}

func (w *world) get(who, path string) page {
	w.t.Helper()
	return w.do(who, http.MethodGet, path, nil, nil)
}

func (w *world) post(who, path string, form url.Values) page {
	w.t.Helper()
	return w.do(who, http.MethodPost, path, form, nil)
}

func (w *world) do(who, method, path string, form url.Values, header http.Header) page {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, w.url+path, strings.NewReader(form.Encode()))
	w.ok(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := w.browser[who].Do(req)
	w.ok(err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	w.ok(err)
	doc, err := html.Parse(strings.NewReader(string(b)))
	w.ok(err)
	return page{res.StatusCode, res.Header, string(b), doc, res.Request.URL.RequestURI()}
}

// all returns the elements with the name, and with the attribute if one is given.
func (p page) all(name, attr string) []*html.Node {
	var out []*html.Node
	for n := range p.doc.Descendants() {
		if n.Type == html.ElementNode && (name == "" || n.Data == name) && (attr == "" || has(n, attr)) {
			out = append(out, n)
		}
	}
	return out
}

func has(n *html.Node, attr string) bool {
	for _, a := range n.Attr {
		if a.Key == attr {
			return true
		}
	}
	return false
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// paths are all pages of the table, with the world's numbers filled in.
func (w *world) paths(patterns []string) []string {
	var out []string
	for _, p := range patterns {
		path, ok := strings.CutPrefix(p, "GET ")
		if !ok || path == "/live" || strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".atom") || strings.Contains(path, "{code}") {
			continue
		}
		path = strings.NewReplacer("/{$}", "/", "{protocol}", "sea-crp", "{entry}", "3").Replace(path)
		switch {
		case path == "/public/incidents/{id}":
			out = append(out, "/public/incidents/"+w.incident)
		case path == "/incidents/{id}/statements/{number}":
			out = append(out, "/incidents/"+w.incident+"/statements/1")
		case strings.HasPrefix(path, "/incidents/{id}"):
			out = append(out, strings.Replace(path, "{id}", w.incident, 1))
			if path == "/incidents/{id}" {
				out = append(out, "/incidents/"+w.exercise)
			}
		case path == "/signals/{id}/{verb}":
			for _, v := range []string{"suspend", "withdraw", "resume"} {
				out = append(out, "/signals/"+w.signal+"/"+v)
			}
			out = append(out, "/signals/"+w.proposed+"/approve", "/signals/"+w.proposed+"/refuse")
		case strings.HasPrefix(path, "/signals/{id}"):
			out = append(out, "/signals/"+w.signal, "/signals/"+w.proposed)
		case path == "/groups/{id}/{verb}":
			for _, v := range signal.GroupVerbs() {
				out = append(out, "/groups/G-1/"+string(v))
			}
		case path == "/groups/{id}":
			out = append(out, "/groups/G-1")
		case path == "/admin/members/{id}":
			out = append(out, "/admin/members/"+w.actor["officer"].Member)
		case path == "/admin/requests/{id}": // there is none here: see TestTwoPeopleAddAPartner
		case strings.HasPrefix(path, "/oidc/"): // there is no provider here: see TestOIDC
		case path == "/partners/{id}":
			out = append(out, "/partners/nusa", "/partners/lensa")
		case path == "/protocols/{id}/file":
		case strings.HasPrefix(path, "/protocols/{id}/versions"):
			out = append(out, "/protocols/sea-crp/versions/"+w.version)
		case path == "/protocols/{id}/diff":
			out = append(out, "/protocols/sea-crp/diff?from=1.0.0&to=1.1.0")
		case path == "/protocols/{id}":
			out = append(out, "/protocols/sea-crp", "/protocols/cc-crp")
		default:
			out = append(out, path)
		}
	}
	for _, p := range out {
		if strings.Contains(p, "{") {
			w.t.Fatalf("the test does not know what to put into %s", p)
		}
	}
	return append(out, "/no-such-page", "/incidents?all=1&q=attack", "/signals?state=active", "/incidents/"+w.incident+"/timeline?show=authority", "/incidents/"+w.incident+"/activate?emergency=1")
}
