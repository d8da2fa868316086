package web_test

import (
	"fmt"
	"github.com/siaga-crp/siaga/internal/access"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/signal"
	"github.com/siaga-crp/siaga/internal/web"
)

// checkPage says what is wrong with any page, whoever reads it.
func checkPage(t *testing.T, name string, p page) {
	t.Helper()
	fail := func(format string, args ...any) { t.Helper(); t.Errorf(name+": "+format, args...) }
	if p.status >= 500 {
		fail("status %d", p.status)
	}
	if m := regexp.MustCompile(`⟦[^⟧]*⟧|<no value>|%!`).FindString(p.body); m != "" {
		fail("shows %s", m)
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(strings.Replace(csp, "'wasm-unsafe-eval'", "", 1), "unsafe") {
		fail("policy %q", csp)
	}
	if n := len(p.all("title", "")); n != 1 && len(p.all("head", "")) == 1 && n == 0 {
		fail("%d titles", n)
	}
	if n := len(p.all("h1", "")); n != 1 {
		fail("%d h1", n)
	}
	searches := 0
	for _, n := range p.all("input", "type") {
		if attr(n, "type") == "search" {
			searches++
		}
	}
	if searches > 1 {
		fail("%d fields for a search", searches)
	}
	for _, landmark := range []string{"header", "main", "footer"} {
		if n := len(p.all(landmark, "")); n != 1 {
			fail("%d of landmark %s", n, landmark)
		}
	}
	if lang := attr(p.all("html", "")[0], "lang"); lang != "en" && lang != "id" {
		fail("lang %q", lang)
	}
	if n := p.all("", "style"); len(n) > 0 {
		fail("inline style on %s", n[0].Data)
	}
	for _, n := range append(p.all("script", ""), p.all("style", "")...) {
		if n.Data == "style" || attr(n, "src") == "" || n.FirstChild != nil {
			fail("inline %s", n.Data)
		}
	}
	ids := map[string]bool{}
	for _, n := range p.all("", "") {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				fail("handler %s", a.Key)
			}
		}
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				fail("id %q twice", id)
			}
			ids[id] = true
		}
	}
	for _, n := range p.all("", "aria-labelledby") {
		if !ids[attr(n, "aria-labelledby")] {
			fail("aria-labelledby %q names nothing", attr(n, "aria-labelledby"))
		}
	}
	labelled := map[string]bool{}
	for _, l := range p.all("label", "for") {
		labelled[attr(l, "for")] = true
	}
	for _, tag := range []string{"input", "select", "textarea"} {
		for _, n := range p.all(tag, "") {
			if attr(n, "type") == "hidden" || labelled[attr(n, "id")] || attr(n, "aria-label") != "" || inside(n, "label") {
				continue
			}
			fail("no label for %s %q", tag, attr(n, "name"))
		}
	}
	for _, f := range p.all("form", "") {
		if attr(f, "method") != "post" || attr(f, "action") == "/search" { // a search changes nothing
			continue
		}
		keyed := false
		for n := range f.Descendants() {
			keyed = keyed || n.Data == "input" && attr(n, "name") == "_key" && len(attr(n, "value")) >= 16
		}
		if !keyed {
			fail("form %s has no key", attr(f, "action"))
		}
	}
	for _, a := range p.all("a", "href") {
		if h := attr(a, "href"); strings.HasPrefix(h, "#") && !ids[h[1:]] {
			fail("link %s leads nowhere", h)
		}
	}
	for _, n := range p.all("b", "onclick") {
		fail("text became markup: %s", text(n))
	}
}

func inside(n *html.Node, tag string) bool {
	for a := range n.Ancestors() {
		if a.Data == tag {
			return true
		}
	}
	return false
}

// Every page, for every role and in both languages.
func TestEveryPageForEveryRole(t *testing.T) {
	w := newWorld(t)
	opened := 0
	for _, who := range []string{"officer", "platform", "reviewer", "observer", "operator", "nobody"} {
		for _, lang := range []string{"en", "id"} {
			for _, path := range w.paths(web.Patterns()) {
				join := "?"
				if strings.Contains(path, "?") {
					join = "&"
				}
				p := w.get(who, path+join+"lang="+lang)
				checkPage(t, who+" "+lang+" "+path, p)
				if p.status == http.StatusOK {
					opened++
				}
				if who == "officer" && p.status >= 400 && path != "/no-such-page" && path != "/partners/new" {
					t.Errorf("%s %s: status %d: %s", who, path, p.status, text(p.all("main", "")[0]))
				}
			}
		}
	}
	// The navigation, on a desk and on a phone, leads nobody to a closed door.
	for _, who := range []string{"officer", "reviewer", "observer", "operator"} {
		led := map[string]bool{}
		for _, n := range w.get(who, "/").all("a", "href") {
			href := attr(n, "href")
			if !inside(n, "nav") || led[href] {
				continue
			}
			led[href] = true
			if p := w.get(who, href); p.status != http.StatusOK {
				t.Errorf("the navigation leads %s to %s, which answers %d", who, href, p.status)
			}
		}
		if len(led) < 4 || led["/incidents"] == (who == "operator") {
			t.Errorf("%s is led to %v", who, led)
		}
	}
	if opened < 200 {
		t.Fatalf("only %d pages opened", opened)
	}
}

// Text of partners is shown as it was written, cut off from the text around
// it, so that marks of direction turn nothing else.
func TestHostileTextStaysText(t *testing.T) {
	w := newWorld(t)
	p := w.get("officer", "/incidents/"+w.incident)
	for _, n := range p.all("", "data-topics") {
		// html/template takes attributes named data-on… for scripts and would quote the number.
		if topics := attr(n, "data-topics"); topics == "" || strings.ContainsAny(topics, `"'\`) {
			t.Errorf("region %s has topics %q", attr(n, "data-region"), topics)
		}
	}
	found := 0
	for n := range p.doc.Descendants() {
		if n.Type != html.TextNode || !strings.Contains(n.Data, "<script>alert(1)</script>") || n.Parent.Data == "title" {
			continue
		}
		found++
		if n.Parent.Data != "bdi" {
			t.Errorf("text of a partner stands in %s, not in bdi: %q", n.Parent.Data, n.Data)
		}
	}
	if found < 5 {
		t.Fatalf("hostile text shown %d times: the story has more of it", found)
	}
}

func notice(key string) url.Values {
	return url.Values{"_key": {key}, "real": {"exercise"}, "what": {"A stream of an attack"}, "live": {"yes"}, "more": {"unknown"}}
}

// A form that is sent twice acts once.
func TestSendingTwiceActsOnce(t *testing.T) {
	w := newWorld(t)
	first := w.post("officer", "/incidents/new", notice("a key of this form"))
	again := w.post("officer", "/incidents/new", notice("a key of this form"))
	if first.status != http.StatusOK || first.path != again.path || !strings.Contains(first.path, "sent=notified") {
		t.Fatalf("first came to %s (%d), again to %s (%d)", first.path, first.status, again.path, again.status)
	}
	other := w.post("officer", "/incidents/new", notice("another key"))
	if other.path == first.path {
		t.Fatal("another form made no incident of its own")
	}
}

// Who reads an incident can be changed before it is sent: others than the form
// had shown are shown first, and only then it goes, to exactly those.
func TestNoticeShowsWhoReadsIt(t *testing.T) {
	w := newWorld(t)
	last := func() incident.Incident {
		list, _, err := w.node.Incidents.List(t.Context(), w.actor["officer"], incident.Query{Limit: 1})
		w.ok(err)
		return list[0]
	}
	before := last().ID
	form := w.get("officer", "/incidents/new?lang=en").fields("/incidents/new")
	if form.Get("told") != "amber" {
		t.Fatalf("the form shows %q", form.Get("told"))
	}
	for k, v := range notice("k1") {
		form[k] = v
	}
	form["tlp"], form["reader"] = []string{"red"}, []string{"warga"}
	p := w.post("officer", "/incidents/new", form)
	checkPage(t, "a notice to others", p)
	told := ""
	for _, n := range p.all("section", "aria-labelledby") {
		if attr(n, "aria-labelledby") == "h-told" {
			told = text(n)
		}
	}
	if last().ID != before || p.status != http.StatusOK || !strings.Contains(told, "has changed") || !strings.Contains(told, "TLP:RED with 2 partners; those that act are told at once. Can read it, but not called: ⁨Warga⁩.") {
		t.Fatalf("%d, newest is %s: %s", p.status, last().ID, told)
	}
	if !strings.Contains(p.body, "A stream of an attack") {
		t.Error("what was typed is gone")
	}
	form.Set("_key", p.fields("/incidents/new").Get("_key"))
	form.Set("told", p.fields("/incidents/new").Get("told"))
	if p = w.post("officer", "/incidents/new", form); !strings.Contains(p.path, "sent=notified") {
		t.Fatalf("sent again: %d %s", p.status, p.path)
	}
	if a := last().Audience; a.TLP != access.Red || len(a.Partners) != 1 || a.Partners[0] != "warga" {
		t.Errorf("it went to %+v", a)
	}
	form.Set("_key", "k3")
	form.Set("tlp", "clear")
	if p = w.post("officer", "/incidents/new", form); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a label that everyone may read: %d", p.status)
	}

	// The list of proposals that the board leads to is of one proposer.
	for who, want := range map[string]bool{"lensa": true, "nusa": false} {
		if got := strings.Contains(w.get("officer", "/signals?state=proposed&partner="+who).body, w.proposed); got != want {
			t.Errorf("the proposals of %s have Lensa's: %v", who, got)
		}
	}
}

// All mistakes at once: a summary above the heading with a link to each field,
// the sentence at the field, and what was typed.
func TestMistakesAreShownTogether(t *testing.T) {
	w := newWorld(t)
	form := url.Values{"_key": {"k1"}, "what": {""}, "place": {"Kota " + hostile}, "country": {"Atlantis"}, "urls": {"lensa video nine"}, "since": {"25:99"}, "live": {"yes"}, "more": {"no"}}
	p := w.post("officer", "/incidents/new", form)
	checkPage(t, "notify with mistakes", p)
	if p.status != http.StatusUnprocessableEntity {
		t.Fatalf("status %d", p.status)
	}
	if title := text(p.all("title", "")[0]); !strings.Contains(title, "Error: ") {
		t.Errorf("title %q does not say that there is an error", title)
	}
	var links []string
	for _, n := range p.all("div", "tabindex") {
		if !strings.Contains(attr(n, "class"), "summary") {
			continue
		}
		for a := range n.Descendants() {
			if a.Data == "a" {
				links = append(links, attr(a, "href"))
			}
		}
	}
	for _, want := range []string{"#real", "#what", "#since"} {
		if !slices.Contains(links, want) {
			t.Errorf("summary links %v, not to %s", links, want)
		}
	}
	if len(links) < 4 {
		t.Errorf("summary has %d links, want four: %v", len(links), links)
	}
	if n := strings.Count(p.body, `<p class="msg"><span aria-hidden="true">✗ </span>Error: `); n != len(links) {
		t.Errorf("%d sentences at fields that begin with the word Error, %d in the summary", n, len(links))
	}
	for name, want := range map[string]string{"place": form.Get("place"), "country": "Atlantis", "since": "25:99"} {
		got := ""
		for _, n := range p.all("input", "name") {
			if attr(n, "name") == name {
				got = attr(n, "value")
			}
		}
		if got != want {
			t.Errorf("%s came back as %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(p.body, "lensa video nine") {
		t.Error("the addresses were lost")
	}
	if !strings.Contains(p.body, "Enter the time as hours and minutes") || strings.Contains(p.body, "must be a time in the past") {
		t.Error("what is no time at all is not said to be none")
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	w := newWorld(t)
	p := w.do("officer", http.MethodPost, "/incidents/"+w.exercise+"/acknowledge", url.Values{"_key": {"x"}}, http.Header{"Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}})
	if p.status != http.StatusForbidden {
		t.Fatalf("status %d, want 403", p.status)
	}
	checkPage(t, "refused form", p)
}

// A demo's link signs in on this machine only, also not through a proxy.
func TestOpenLinkOnlyOnLoopback(t *testing.T) {
	w := newWorld(t)
	code, err := w.node.Partners.IssueOpen(t.Context(), w.actor["officer"].Member, 1e12)
	w.ok(err)
	p := w.do("nobody", http.MethodGet, "/open/"+code, nil, http.Header{"X-Forwarded-For": {"203.0.113.9"}})
	if p.status != http.StatusNotFound || len(p.header["Set-Cookie"]) != 0 {
		t.Fatalf("through a proxy: status %d, cookies %v", p.status, p.header["Set-Cookie"])
	}
	p = w.get("nobody", "/open/"+code)
	if p.status != http.StatusOK || p.path != "/" {
		t.Fatalf("on loopback: status %d at %s", p.status, p.path)
	}
}

// A region is the same element as on the whole page, and comes alone.
func TestRegionComesAlone(t *testing.T) {
	w := newWorld(t)
	p := w.get("officer", "/incidents/"+w.incident+"?region=acks,clocks")
	var names []string
	for _, n := range p.all("", "data-region") {
		names = append(names, attr(n, "data-region"))
	}
	if !slices.Equal(names, []string{"acks", "clocks"}) || strings.Contains(p.body, "<header") {
		t.Fatalf("regions %v in %.200s", names, p.body)
	}
}

// Numbers that a reader may not see answer as those that do not exist.
func TestUnseenIsNotFound(t *testing.T) {
	w := newWorld(t)
	hidden, none := w.get("observer", "/incidents/"+w.incident), w.get("observer", "/incidents/IDN-2026-9999")
	if hidden.status != none.status {
		t.Fatalf("hidden answers %d, missing %d", hidden.status, none.status)
	}
	if a, b := text(hidden.all("main", "")[0]), text(none.all("main", "")[0]); strings.ReplaceAll(a, w.incident, "N") != strings.ReplaceAll(b, "IDN-2026-9999", "N") {
		t.Fatalf("hidden says %q, missing %q", a, b)
	}
}

// An exercise says so on top and at the end of its page.
func TestExerciseIsMarked(t *testing.T) {
	w := newWorld(t)
	bands := func(path string) (n int) {
		for _, a := range w.get("officer", path).all("aside", "") {
			if attr(a, "class") == "band" {
				n++
			}
		}
		return n
	}
	if n := bands("/incidents/" + w.exercise); n != 2 {
		t.Errorf("an exercise has %d bands, want 2", n)
	}
	if n := bands("/incidents/" + w.incident); n != 0 {
		t.Errorf("a real incident has %d bands of an exercise", n)
	}
}

// How much is asked and open stands on every page, and is the same on all.
func TestBadgesAreTheSameEverywhere(t *testing.T) {
	w := newWorld(t)
	badges := func(path string) (out []string) {
		for _, n := range w.get("officer", path).all("span", "class") {
			if c := attr(n, "class"); (c == "n" || c == "badge") && (inside(n, "header") || inside(n, "nav")) && !inside(n, "main") {
				out = append(out, text(n))
			}
		}
		return out
	}
	want := badges("/")
	if len(want) < 2 {
		t.Fatalf("the board has the badges %q: the test looks at nothing", want)
	}
	for _, path := range w.paths(web.Patterns()) {
		if strings.HasPrefix(path, "/public") || strings.HasPrefix(path, "/sign-in") {
			continue
		}
		if got := badges(path); !slices.Equal(got, want) {
			t.Errorf("%s has the badges %q, the board %q", path, got, want)
		}
	}
}

// A payment handle that somebody looks up stands in no address: the forms send
// it as their content and it is answered at once, masked. In an address it is
// taken out, and the page says so. Other values are looked up by address.
func TestPaymentHandlesStandInNoAddress(t *testing.T) {
	w := newWorld(t)
	const iban = "GB29 NWBK 6016 1331 9268 19"
	sig, err := w.node.Signals.Propose(t.Context(), w.actor["platform"], signal.Proposal{Incident: w.incident, TLP: "amber", Producer: "perpetrator", Kind: "payment", Value: iban, Labels: []string{"propaganda"}, Action: signal.Review})
	w.ok(err)
	for _, path := range []string{"/search", "/signals", "/incidents"} {
		for _, q := range []string{iban, "GB29NWBK60161331926818", "gcash 0917 123 4567", "+62 812 3456 7890"} {
			p := w.get("officer", path+"?q="+url.QueryEscape(q))
			if p.status != http.StatusUnprocessableEntity || p.path != path+"?refused=payment" || !strings.Contains(p.body, "Enter it in the search field") || strings.Contains(p.body, q) {
				t.Errorf("%s of %q: %d at %s", path, q, p.status, p.path)
			}
		}
		for _, q := range []string{"", "12345678", "d41d8cd98f00b204e9800998ecf8427e", "hmac:seahub-2026:" + strings.Repeat("ab", 32), "Message about the flood relief", "DANA 2026", "label:x"} {
			if p := w.get("officer", path+"?q="+url.QueryEscape(q)); p.status != http.StatusOK {
				t.Errorf("%s of %q: %d", path, q, p.status)
			}
			want := path
			if q != "" {
				want += "?q=" + url.QueryEscape(q)
			}
			if p := w.post("officer", "/search", url.Values{"q": {q}, "on": {path}}); p.status != http.StatusOK || p.path != want {
				t.Errorf("the form on %s with %q leads to %s: %d", path, q, p.path, p.status)
			}
		}
		// Every form for a search sends what was typed as its content.
		body := w.get("officer", path).body
		if strings.Contains(body, `method="get"`) || !strings.Contains(body, `method="post" action="/search"`) {
			t.Errorf("%s has a form that puts what was typed into the address", path)
		}
		p := w.post("officer", "/search", url.Values{"q": {iban}, "on": {path}})
		if p.status != http.StatusOK || p.path != "/search" || !strings.Contains(p.body, `href="/signals/`+sig.ID+`"`) || strings.Contains(p.body, "6016") {
			t.Errorf("the form on %s with a handle: %d at %s", path, p.status, p.path)
		}
	}
	if p := w.post("officer", "/search", url.Values{"q": {"GB29NWBK60161331926818"}}); p.status != http.StatusUnprocessableEntity || p.path != "/search" || strings.Contains(p.body, "GB29NWBK") {
		t.Errorf("a misspelt handle: %d at %s", p.status, p.path)
	}
	if p := w.post("observer", "/search", url.Values{"q": {iban}, "on": {"//elsewhere.example/"}}); p.status != http.StatusOK || p.path != "/search" {
		t.Errorf("a list that is none: %d at %s", p.status, p.path)
	}
	// Nor does the page of the entry that proposed one show it.
	p := w.get("officer", fmt.Sprintf("/journal/%d", sig.Proposed.Entry))
	if p.status != http.StatusOK || !strings.Contains(p.body, "iban:GB…6819") || strings.Contains(p.body, "60161331") {
		t.Errorf("the entry's page: %d, without the masked handle or with the whole one", p.status)
	}
	// The foot of other pages, too.
	if body := w.get("officer", "/help").body; !strings.Contains(body, `role="search" method="post" action="/search"`) {
		t.Error("the foot's search is not sent as content")
	}
}

// A list that a filter leaves empty does not say that there is nothing at all,
// and what cannot be done for another reason than a change is not called one.
func TestEmptyAndRefused(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/signals?lang=en&q=zzz": "Nothing fits", "/signals?lang=en&state=refused": "Nothing fits", "/incidents?lang=en&q=zzz": "Nothing fits",
	} {
		if main := text(w.get("officer", path).all("main", "")[0]); !strings.Contains(main, want) || strings.Contains(main, "No signals yet") {
			t.Errorf("%s says %q, want %q", path, main, want)
		}
	}
	if p := w.get("officer", "/settings/profile"); !strings.Contains(p.body, `href="/settings/profile" aria-current="page"`) {
		t.Error("the profile does not say where one is")
	}
	w.post("officer", "/incidents/"+w.incident+"/close", url.Values{"_key": {"close 1"}, "digits": {w.incident[len(w.incident)-4:]}, "reason": {"it is over"}})
	p := w.post("officer", "/incidents/"+w.incident+"/close?lang=en", url.Values{"_key": {"close 2"}, "digits": {w.incident[len(w.incident)-4:]}, "reason": {"it is over"}})
	if p.status != http.StatusConflict || len(p.all("h1", "")) != 1 || text(p.all("h1", "")[0]) != "This cannot be done now" {
		t.Errorf("closing what runs: %d %s", p.status, text(p.all("main", "")[0]))
	}
}

// The timeline's filters choose by what an entry is, over all of the incident's
// entries and not over its newest hundred alone.
func TestTimelineFilters(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for i := range 55 { // newer than what is looked for
		_, err := w.node.Incidents.Ask(ctx, w.actor["platform"], w.incident, []string{"nusa"}, fmt.Sprint("Is it over? ", i))
		w.ok(err)
		_, err = w.node.Incidents.Answer(ctx, w.actor["officer"], w.incident, i+2, "Not yet", true)
		w.ok(err)
	}
	base := "/incidents/" + w.incident + "/timeline?lang=en&show="
	for filter, want := range map[string]string{"authority": "was proposed at level", "updates": "posted update 2", "signals": "proposed " + w.signal} {
		p := w.get("officer", base+filter)
		main := text(p.all("main", "")[0])
		if !strings.Contains(main, want) || strings.Contains(main, "answered question") {
			t.Errorf("%s: %.300q, want %q and no questions", filter, main, want)
		}
	}
	if main := text(w.get("platform", base+"mine").all("main", "")[0]); !strings.Contains(main, "Lensa asked question") || strings.Contains(main, "Nusa posted") {
		t.Errorf("mine: %.300q", main)
	}
	p := w.get("officer", base+"messages")
	if !strings.Contains(p.body, `show=messages" aria-current="true"`) || strings.Contains(text(p.all("main", "")[0]), "asked question") {
		t.Error("there is no filter for messages")
	}
}

// Who reads by break-glass is told so and until when, and is offered nothing to
// do: no ask, no button of a form.
func TestReadingByBreakGlass(t *testing.T) {
	w := newWorld(t)
	no := false
	red, err := w.node.Incidents.Notify(t.Context(), w.actor["platform"], incident.Notice{Title: "Only for us", Description: "a threat to one platform", Exercise: &no, TLP: "red", Partners: []string{"lensa"}})
	w.ok(err)
	path := "/incidents/" + red.ID + "?lang=en"
	if p := w.get("officer", path); p.status != http.StatusNotFound {
		t.Fatalf("before: %d", p.status)
	}
	_, err = w.node.Partners.BreakGlass(t.Context(), w.actor["officer"], journal.Ref{Kind: "incident", ID: red.ID}, "The police ask, and Lensa does not answer.")
	w.ok(err)
	p := w.get("officer", path)
	main := text(p.all("main", "")[0])
	if p.status != http.StatusOK || !strings.Contains(main, "beyond your scope until") || !strings.Contains(main, "Only for us") {
		t.Errorf("%d %.300q", p.status, main)
	}
	for _, never := range []string{"/activate\"", "/updates/new", "/acknowledge\""} {
		if strings.Contains(p.body, "/incidents/"+red.ID+never) {
			t.Errorf("it offers %s", never)
		}
	}
	if strings.Count(p.body, "/incidents/"+red.ID+"/assess") != 1 { // among the incident's parts, to read
		t.Error("it offers to assess it")
	}
	if p := w.get("platform", path); strings.Contains(p.body, "beyond your scope") || !strings.Contains(p.body, "/assess") {
		t.Error("its own partner is not offered to assess it, or is told of a break-glass")
	}
}
