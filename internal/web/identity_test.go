package web_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// stream opens the event stream of a person and says when it ended with "end".
func (w *world) stream(t *testing.T, who string) <-chan time.Time {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/live", nil)
	w.ok(err)
	c := *w.browser[who]
	c.Timeout = 0
	res, err := c.Do(req)
	w.ok(err)
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("%s: the stream is %s, %d", who, ct, res.StatusCode)
	}
	ended := make(chan time.Time, 1)
	go func() {
		defer func() { _ = res.Body.Close() }()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if lines.Text() == "event: end" {
				ended <- time.Now()
				return
			}
		}
	}()
	return ended
}

// Whoever is disabled, loses a role, or whose session is ended, has the open
// stream ended within a second; other streams go on.
func TestStreamsEndWithTheirRights(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	shell := func(p string) access.Actor {
		return access.Actor{Partner: p, Shell: true, Roles: []access.Role{access.Administrator}}
	}
	stays := w.stream(t, "platform")
	for name, end := range map[string]func() error{
		"reviewer": func() error {
			_, err := w.node.Partners.ChangeMember(ctx, shell("lensa"), w.actor["reviewer"].Member, partner.Change{Disable: true})
			return err
		},
		"observer": func() error {
			_, err := w.node.Partners.ChangeMember(ctx, shell("warga"), w.actor["observer"].Member, partner.Change{Roles: []access.Role{access.Analyst}})
			return err
		},
		"operator": func() error {
			_, err := w.node.Partners.EndMemberSessions(ctx, shell("secretariat"), w.actor["operator"].Member)
			return err
		},
	} {
		ended := w.stream(t, name)
		start := time.Now()
		w.ok(end())
		select {
		case at := <-ended:
			t.Logf("%s: ended after %v", name, at.Sub(start))
			if took := at.Sub(start); took > time.Second {
				t.Errorf("%s: ended after %v", name, took)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the stream goes on", name)
		}
	}
	select {
	case <-stays:
		t.Error("somebody else's stream ended")
	default:
	}
	if p := w.get("reviewer", "/signals"); !strings.HasPrefix(p.path, "/sign-in") {
		t.Errorf("a disabled member reads %s", p.path)
	}
	if p := w.get("observer", "/signals"); p.status != http.StatusOK {
		t.Errorf("with other roles: %d", p.status)
	}
}

// A partner that is deactivated has its people's streams ended at once, its
// vote in an open ballot counts no more, nobody of it is called to a new
// incident, and its signals stay and are listed for a decision.
func TestPartnerLeaves(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.node.Incidents.Act(ctx, w.actor["platform"], w.incident, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteAbstain, Reason: "not seen here"})
	w.ok(err)
	votes := func() (out []string) {
		inc, err := w.node.Incidents.Get(ctx, w.actor["officer"], w.incident)
		w.ok(err)
		for _, v := range inc.Activations["sea-crp"].Votes {
			out = append(out, v.Partner)
		}
		return out
	}
	if got := votes(); !slices.Equal(got, []string{"nusa", "lensa"}) {
		t.Fatalf("voted: %v", got)
	}
	if q := w.get("officer", "/partners/lensa"); strings.Contains(q.body, `value="disable"`) {
		t.Error("the form is offered to a partner that may not")
	}
	boss := w.enter(w.shell, "boss", partner.NewMember{Partner: "secretariat", Name: "Fitri", Roles: []access.Role{access.Administrator, access.Approver}})
	p := w.get("boss", "/partners/lensa")
	checkPage(t, "form", p)
	if !strings.Contains(p.body, `value="disable"`) {
		t.Fatal("the form is not offered")
	}
	ended, stays := w.stream(t, "platform"), w.stream(t, "officer")
	start := time.Now()
	_, err = w.node.Partners.Disable(ctx, w.shell, "lensa", true, "Its accounts were taken over on 3 March")
	w.ok(err)
	select {
	case at := <-ended:
		if took := at.Sub(start); took > time.Second {
			t.Errorf("the stream ended after %v", took)
		}
	case <-time.After(5 * time.Second):
		t.Error("the stream goes on")
	}
	select {
	case <-stays:
		t.Error("somebody else's stream ended")
	default:
	}
	if q := w.get("platform", "/signals"); !strings.HasPrefix(q.path, "/sign-in") {
		t.Errorf("its member reads %s", q.path)
	}
	if got := votes(); !slices.Equal(got, []string{"nusa"}) {
		t.Errorf("votes that count: %v", got)
	}
	no := false
	inc, err := w.node.Incidents.Notify(ctx, w.actor["officer"], incident.Notice{Description: "Another one", Exercise: &no, Country: "ID"})
	w.ok(err)
	if slices.Contains(inc.Called, "lensa") || !slices.Contains(inc.Called, "nusa") {
		t.Errorf("called: %v", inc.Called)
	}
	for _, page := range []string{"/incidents/new", "/incidents/" + inc.ID + "/updates/new"} { // it is not among those that will be told
		told := ""
		for _, n := range w.get("officer", page).all("section", "class") {
			if strings.Contains(attr(n, "class"), "told") {
				told += text(n)
			}
		}
		if strings.Contains(told, "Lensa") || !strings.Contains(told, "Nusa") {
			t.Errorf("%s says that it will tell %q", page, told)
		}
	}
	_, err = w.node.Incidents.Ask(ctx, w.actor["officer"], inc.ID, []string{"lensa"}, "Do you see it?")
	if problem.KindOf(err) != problem.Invalid {
		t.Errorf("it is asked: %v", err)
	}
	sig, err := w.node.Signals.Get(ctx, w.actor["officer"], w.signal)
	w.ok(err)
	if sig.State != signal.Active {
		t.Errorf("its signal is %s", sig.State)
	}
	p = w.get("officer", "/partners/lensa")
	checkPage(t, "deactivated", p)
	if !strings.Contains(p.body, "/signals/"+w.signal+`"`) || !strings.Contains(p.body, "/signals/"+w.proposed+`"`) || !strings.Contains(p.body, "Deactivated since") {
		t.Errorf("the page does not list what is to be decided: %s", p.body)
	}
	checkPage(t, "list", w.get("officer", "/partners"))
	if j := w.get("officer", "/journal"); !strings.Contains(j.body, "was deactivated as a partner") {
		t.Error("the journal does not say it in words")
	}
	if may, err := w.node.Partners.MayDisable(ctx, boss, "lensa"); err != nil || !may {
		t.Errorf("it cannot be activated again: %v", err)
	}
	_, err = w.node.Partners.Disable(ctx, w.shell, "lensa", false, "The accounts were cleaned and checked")
	w.ok(err)
	if got := votes(); !slices.Equal(got, []string{"nusa", "lensa"}) {
		t.Errorf("votes after it came back: %v", got)
	}
}

// A broken glass shows one incident to one person, and changes nothing.
func TestBreakGlass(t *testing.T) {
	w := newWorld(t)
	path := "/incidents/" + w.incident
	if p := w.get("observer", path); p.status != http.StatusNotFound {
		t.Fatalf("before: %d", p.status)
	}
	form := url.Values{"_key": {"g1"}, "object": {w.incident}, "reason": {""}}
	p := w.post("observer", "/admin/break-glass", form)
	checkPage(t, "without a reason", p)
	if p.status != http.StatusUnprocessableEntity || w.get("observer", path).status != http.StatusNotFound {
		t.Fatalf("without a reason: %d", p.status)
	}
	form.Set("_key", "g2")
	form.Set("reason", "Lensa asked us to look, nobody of Nusa answers")
	if p = w.post("observer", "/admin/break-glass", form); p.status != http.StatusOK || p.path != path+"?sent=glass" {
		t.Fatalf("breaking it: %d at %s", p.status, p.path)
	}
	checkPage(t, "the opened incident", p)
	for _, part := range []string{"/timeline", "/updates", "/assets"} {
		if p := w.get("observer", path+part); p.status != http.StatusOK {
			t.Errorf("%s: %d", part, p.status)
		}
	}
	if p := w.post("observer", path+"/acknowledge", url.Values{"_key": {"g3"}}); p.status != http.StatusNotFound {
		t.Errorf("acting on it: %d at %s", p.status, p.path)
	}
	if p := w.get("observer", "/incidents?all=1"); strings.Contains(p.body, w.incident) {
		t.Error("lists show it")
	}
	// Everyone reads that it was used, by whom and why.
	for _, who := range []string{"officer", "platform"} {
		if p := w.get(who, "/admin/break-glass"); !strings.Contains(p.body, w.incident) || !strings.Contains(p.body, "nobody of Nusa answers") {
			t.Errorf("%s does not read of it", who)
		}
	}
}

// A form that needs presence comes back whole after it, without a script too.
func TestStepUpSendsTheFormOn(t *testing.T) {
	var off atomic.Int64 // the node's clock is ahead of the machine's
	w := newWorldWith(t, func(o *app.Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) } })
	ctx := t.Context()
	shell := access.Actor{Partner: "nusa", Shell: true, Roles: []access.Role{access.Administrator}}
	_, code, err := w.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: "nusa", Name: "Hana", Email: "hana@nusa.example", Roles: []access.Role{access.Administrator}})
	w.ok(err)
	en, err := w.node.Partners.Begin(ctx, code)
	w.ok(err)
	in, _, err := w.node.Partners.Enrol(ctx, code, "a short sentence is good", "a short sentence is good", onetime(t, en.Secret, -30*time.Second), partner.Client{})
	w.ok(err)
	w.browser["hana"] = w.client(in.Key)
	p := w.post("hana", "/admin/members", url.Values{"_key": {"s1"}, "name": {"Indra " + hostile}, "email": {"indra@nusa.example"}, "roles": {"officer", "analyst"}})
	checkPage(t, "step-up", p)
	if p.status != http.StatusForbidden || len(p.all("script", "")) != 2 {
		t.Fatalf("%d, %d scripts", p.status, len(p.all("script", "")))
	}
	form := url.Values{}
	for _, n := range p.all("input", "name") {
		if attr(n, "type") == "hidden" {
			form.Add(attr(n, "name"), attr(n, "value"))
		}
	}
	if form.Get("_for") != "member.manage" || form.Get("_to") != "/admin/members" || len(form["roles"]) != 2 {
		t.Fatalf("the form that waits is %v", form)
	}
	form.Set("_code", "000000")
	if p = w.post("hana", "/step-up", form); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "indra@nusa.example") {
		t.Fatalf("with a wrong code: %d", p.status)
	}
	form.Set("_code", onetime(t, en.Secret, 0))
	if p = w.post("hana", "/step-up", form); p.status != http.StatusOK || p.path != "/admin/members" || !strings.Contains(p.body, "/first/") {
		t.Fatalf("with the right one: %d at %s", p.status, p.path)
	}
	// It is for this action and this form alone, and for once.
	again := url.Values{"_key": {"s3"}, "name": {"Joko"}, "email": {"joko@nusa.example"}, "roles": {"officer"}}
	if p = w.post("hana", "/admin/members", again); p.status != http.StatusForbidden {
		t.Errorf("another member with the same proof: %d", p.status)
	}
	on := url.Values{}
	for _, n := range p.all("input", "name") {
		if attr(n, "type") == "hidden" {
			on.Add(attr(n, "name"), attr(n, "value"))
		}
	}
	off.Store(int64(30 * time.Second))
	on.Set("_code", onetime(t, en.Secret, 30*time.Second))
	// Who touches for Joko and sends another form has proved nothing for that.
	w.browser["hana"].CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p = w.post("hana", "/step-up", on); p.status != http.StatusTemporaryRedirect {
		t.Fatalf("the proof was not taken: %d", p.status)
	}
	w.browser["hana"].CheckRedirect = nil
	other := url.Values{"_key": {"s4"}, "name": {"Kiki"}, "email": {"kiki@nusa.example"}, "roles": {"officer"}}
	if p = w.post("hana", "/admin/members", other); p.status != http.StatusForbidden {
		t.Errorf("another form with a proof for Joko's: %d", p.status)
	}
	if p = w.post("hana", "/admin/members", again); p.status != http.StatusOK || !strings.Contains(p.body, "/first/") {
		t.Errorf("the form that was proved: %d", p.status)
	}
	if p = w.post("hana", "/admin/members", again); p.status != http.StatusForbidden {
		t.Errorf("the same form again: %d", p.status)
	}
	if p = w.post("hana", "/admin/tokens", url.Values{"_key": {"s2"}, "roles": {"officer"}}); p.status != http.StatusForbidden {
		t.Errorf("another action: %d", p.status)
	}
}

// onetime is what an authenticator shows, off by a time.
func onetime(t *testing.T, secret string, off time.Duration) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(off))
	if err != nil {
		t.Fatal(err)
	}
	return code
}
