package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
)

// called is a whole node that runs, with a platform whose duty contact has a
// webhook, which the test receives.
type called struct {
	t     *testing.T
	node  *app.Node
	nusa  access.Actor
	duty  access.Actor
	texts chan string

	session string // of who uses the browser; "": nobody is signed in
}

func newCalled(t *testing.T) *called {
	t.Helper()
	c := &called{t: t, texts: make(chan string, 50)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		c.texts <- string(b)
	}))
	t.Cleanup(receiver.Close)
	ctx := context.Background()
	dir := t.TempDir() + "/node"
	made, err := app.Init(ctx, app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Nusa", Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta"}})
	if err != nil {
		t.Fatal(err)
	}
	c.node, err = app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", InternalHosts: []string{strings.TrimPrefix(receiver.URL, "http://")}, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.node.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lensa, err := c.node.Partners.Add(ctx, partner.Shell(made.Partner), partner.NewPartner{Name: "Lensa", Kind: access.Platform, Country: "ID", Zone: "Asia/Jakarta"})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := c.node.Partners.AddMember(ctx, partner.Shell(lensa), partner.NewMember{Partner: lensa.ID, Name: "Bima", Email: "bima@lensa.example", Roles: []access.Role{access.Officer}})
	if err != nil {
		t.Fatal(err)
	}
	c.nusa = access.Actor{Partner: made.Partner.ID, Kind: made.Partner.Kind, Country: "ID", Member: made.Admin.ID, Roles: made.Admin.Roles}
	c.duty = access.Actor{Partner: lensa.ID, Kind: lensa.Kind, Country: "ID", Member: m.ID, Roles: m.Roles}
	if _, err := c.node.Notify.Add(ctx, c.duty, notify.NewChannel{Kind: notify.Webhook, Target: receiver.URL + "/hook"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *called) do(method, path string, form url.Values) (int, string) {
	c.t.Helper()
	req := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form.Encode()))
	if c.session != "" {
		req.AddCookie(&http.Cookie{Name: "siaga_session", Value: c.session})
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	c.node.Handler().ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// TestFromNotifyToTheFirstMessage: a node that runs tells the duty contact in
// less than two seconds, and its page acknowledges in one tap, without place
// or content. Scanners that follow the link change nothing.
func TestFromNotifyToTheFirstMessage(t *testing.T) {
	c := newCalled(t)
	ctx := t.Context()
	no := false
	begun := time.Now()
	inc, err := c.node.Incidents.Notify(ctx, c.nusa, incident.Notice{Title: "Attack on a market", Description: "people are hurt", Where: "Kota Seroja", Exercise: &no})
	if err != nil {
		t.Fatal(err)
	}
	var body string
	select {
	case body = <-c.texts:
	case <-time.After(10 * time.Second):
		t.Fatal("no message came")
	}
	took := time.Since(begun)
	t.Logf("from notify to the first message: %s", took)
	if took > 2*time.Second {
		t.Errorf("the first message took %s", took)
	}
	code := regexp.MustCompile(`/a/([0-9A-Z]{13})`).FindStringSubmatch(body)
	if code == nil {
		t.Fatalf("no link in %s", body)
	}
	path := "/a/" + code[1]
	for range 2 {
		status, page := c.do(http.MethodGet, path, nil)
		if status != http.StatusOK {
			t.Fatalf("%d: %s", status, page)
		}
		for _, must := range []string{inc.ID, "Real, not an exercise", " UTC</bdi>", "WIB, in ", "If you do nothing:", "I have seen it", "Not me, call the next", "Sign in", "on duty"} {
			if must == "on duty" {
				must = "Why you: called for Lensa"
			}
			if !strings.Contains(page, must) {
				t.Errorf("the page does not say %q", must)
			}
		}
		for _, never := range []string{"market", "Seroja", "hurt", "Attack"} {
			if strings.Contains(page, never) {
				t.Errorf("the page says %q", never)
			}
		}
	}
	if got, err := c.node.Incidents.Get(ctx, c.nusa, inc.ID); err != nil || len(got.Missing()) != 1 {
		t.Errorf("after two looks %v are missing, %v", got.Missing(), err)
	}
	// In the browser of another person it is told to be theirs, and does nothing.
	open, err := c.node.Partners.IssueOpen(ctx, c.nusa.Member, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if c.session, err = c.node.Partners.Open(ctx, open); err != nil {
		t.Fatal(err)
	}
	if _, page := c.do(http.MethodGet, path, nil); !strings.Contains(page, "This link is another person") || strings.Contains(page, "I have seen it") {
		t.Error("another person is not told whose link it is")
	}
	if status, page := c.do(http.MethodPost, path, url.Values{"_key": {"k0"}, "seen": {"1"}}); status != http.StatusForbidden || !strings.Contains(page, "another person") {
		t.Errorf("another person presses: %d", status)
	}
	c.session = ""
	if got, err := c.node.Incidents.Get(ctx, c.nusa, inc.ID); err != nil || len(got.Missing()) != 1 {
		t.Errorf("after another person pressed %v are missing, %v", got.Missing(), err)
	}
	for _, key := range []string{"k1", "k2"} { // twice, from two pages
		if status, _ := c.do(http.MethodPost, path, url.Values{"_key": {key}, "seen": {"1"}}); status != http.StatusSeeOther {
			t.Errorf("pressing: %d", status)
		}
	}
	if got, err := c.node.Incidents.Get(ctx, c.nusa, inc.ID); err != nil || len(got.Missing()) != 0 {
		t.Errorf("afterwards %v are missing, %v", got.Missing(), err)
	}
	if _, page := c.do(http.MethodGet, path, nil); !strings.Contains(page, "You have said that you have seen it") || strings.Contains(page, "Not me") {
		t.Error("the page does not say how it stands")
	}
	if status, page := c.do(http.MethodGet, "/a/0000000000000", nil); status != http.StatusNotFound || !strings.Contains(page, "This link has ended") {
		t.Errorf("no such code: %d", status)
	}
	// The room's part: who has acknowledged.
	st, err := c.node.Notify.Acknowledgements(ctx, c.nusa, inc.ID)
	if err != nil || len(st) != 2 || !st[0].Acknowledged || !st[1].Acknowledged {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestDutyPage sets a roster by the form, with a hole that is shown, and
// refuses what is wrong with all input kept.
func TestDutyPage(t *testing.T) {
	w := newWorld(t)
	member := w.actor["officer"].Member
	set := url.Values{
		"_key": {"d1"}, "do": {"set"}, "zone": {"Asia/Jakarta"}, "shifts.0.days": {"0", "1", "2", "3", "4"}, "shifts.0.from": {"06:00"}, "shifts.0.until": {"06:00"}, "shifts.0.members.0": {member},
		"holidays.0.date": {"2027-01-01"}, "holidays.0.name": {"New Year"}, "backup.0": {member},
	}
	wrong := url.Values{"_key": {"d0"}, "do": {"set"}, "zone": {"Asia/Jakart"}, "shifts.0.from": {"25:00"}, "shifts.0.until": {"6"}, "shifts.0.days": {"1"}}
	p := w.do("officer", http.MethodPost, "/duty", wrong, nil)
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "Asia/Jakart") || len(p.all("", "")) == 0 || !strings.Contains(p.body, "There is a problem") {
		t.Errorf("%d", p.status)
	}
	checkPage(t, "wrong", p)
	if p := w.do("officer", http.MethodPost, "/duty", set, nil); p.status != http.StatusSeeOther && p.status != http.StatusOK {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	p = w.get("officer", "/duty")
	checkPage(t, "duty", p)
	for _, must := range []string{"within the coming week", "Times of Asia/Jakarta", "Ayu"} {
		if !strings.Contains(p.body, must) {
			t.Errorf("the page does not say %q", must)
		}
	}
	checkPage(t, "edit", w.get("officer", "/duty?edit=1"))
	if p := w.do("observer", http.MethodPost, "/duty", set, nil); p.status != http.StatusForbidden {
		t.Errorf("an observer: %d", p.status)
	}
	// Channels: the key of a webhook is shown once.
	p = w.do("officer", http.MethodPost, "/messages", url.Values{"_key": {"m1"}, "do": {"add"}, "kind": {"webhook"}, "target": {"https://hooks.example.org/x"}, "member": {member}}, nil)
	if p.status != http.StatusOK || !strings.Contains(p.body, "whsec_") {
		t.Errorf("%d", p.status)
	}
	checkPage(t, "key", p)
	p = w.get("officer", "/messages")
	checkPage(t, "messages", p)
	if strings.Contains(p.body, "whsec_") || !strings.Contains(p.body, "hooks.example.org") || strings.Contains(p.body, "hooks.example.org/x") {
		t.Error("the page shows what is secret, or not what it should")
	}
	p = w.do("officer", http.MethodPost, "/messages", url.Values{"_key": {"m2"}, "do": {"add"}, "kind": {"webhook"}, "target": {"https://10.0.0.1/x"}, "member": {member}}, nil)
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "not public") {
		t.Errorf("an internal address: %d", p.status)
	}
	p = w.get("operator", "/messages")
	checkPage(t, "operator's messages", p)
	if strings.Contains(p.body, "hooks.example.org") || strings.Contains(p.body, "Ayu") {
		t.Error("an operator sees whose channel it is")
	}
	checkPage(t, "acknowledgements", w.get("officer", "/incidents/"+w.incident+"/acknowledgements"))
}
