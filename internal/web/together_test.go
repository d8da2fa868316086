package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// fields are the hidden fields and the texts of the form that posts to action,
// as a browser would send them.
func (p page) fields(action string) url.Values {
	out := url.Values{}
	for _, f := range p.all("form", "") {
		if attr(f, "action") != action {
			continue
		}
		for n := range f.Descendants() {
			if n.Data == "input" && attr(n, "type") == "hidden" {
				out.Set(attr(n, "name"), attr(n, "value"))
			}
		}
	}
	return out
}

// statement makes something public by two people, each from the same page.
func (w *world) statement(t *testing.T) {
	room := "/incidents/" + w.incident
	digits := w.incident[len(w.incident)-4:]
	w.enter(w.shell, "colleague", partner.NewMember{Partner: "nusa", Name: "Rani", Roles: []access.Role{access.Officer}})
	form := w.get("officer", room+"/updates/new?lang=en").fields(room + "/updates/new")
	form.Set("en", "Stay away from the market")
	form.Set("audience", "observers")
	form.Set("tlp", "clear")
	form.Set("do", "change")
	if main := text(w.post("officer", room+"/updates/new?lang=en", form).all("main", "")[0]); !strings.Contains(main, "Observers too: everyone") {
		t.Errorf("at TLP:CLEAR observers are not everyone: %s", main)
	}
	form.Del("tlp")
	form.Set("audience", "public")
	form.Set("do", "send")
	p := w.post("officer", room+"/updates/new?lang=en", form)
	checkPage(t, "a public statement before it is sent", p)
	if !strings.Contains(p.body, "second person must confirm it within 30 minutes") {
		t.Errorf("the page does not say that two people are needed: %s", text(p.all("main", "")[0]))
	}
	form = p.fields(room + "/updates/new")
	form.Set("digits", "")
	form.Set("do", "send")
	p = w.post("officer", room+"/updates/new?lang=en", form) // both mistakes at once
	for _, link := range []string{`href="#reason"`, `href="#digits"`} {
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, link) {
			t.Errorf("without a reason and digits it answers %d, and %s is not there", p.status, link)
		}
	}
	_, dock, _ := strings.Cut(w.get("officer", "/help").body, `class="dock"`)
	if asked := regexp.MustCompile(`<span class="n[^"]*">\d+</span>`).FindString(dock); asked == "" || strings.Contains(asked, ">0<") || !strings.Contains(p.body, asked) {
		t.Errorf("a form that comes back does not say that %s is asked", asked)
	}
	form = p.fields(room + "/updates/new")
	form.Set("digits", digits)
	form.Set("do", "send")
	p = w.post("officer", room+"/updates/new?lang=en", form) // without a reason
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, `id="reason"`) {
		t.Errorf("without a reason it answers %d", p.status)
	}
	form = p.fields(room + "/updates/new")
	form.Set("digits", digits)
	form.Set("reason", "People ask where to go")
	form.Set("do", "send")
	p = w.post("officer", room+"/updates/new?lang=en", form)
	checkPage(t, "a public statement that waits", p)
	page, _, _ := strings.Cut(p.path, "?")
	if p.status != http.StatusOK || !strings.Contains(page, "/statements/") || len(p.fields(page)) == 0 || strings.Contains(p.body, `name="digits"`) {
		t.Fatalf("its writer stands at %d %s", p.status, p.path)
	}
	inc, err := w.node.Incidents.Get(t.Context(), w.actor["officer"], w.incident)
	w.ok(err)
	if n := len(inc.VisibleUpdates(access.Actor{})); n != 1 { // of the story
		t.Fatalf("it is public by one person: %d updates are", n)
	}
	if !strings.Contains(w.get("colleague", "/asks").body, page) || strings.Contains(w.get("officer", "/asks").body, page) {
		t.Error("the colleague is not asked, or its writer is")
	}
	p = w.get("colleague", page+"?lang=id")
	checkPage(t, "a public statement for its second person", p)
	main := text(p.all("main", "")[0])
	if !strings.Contains(main, "Stay away from the market") || !strings.Contains(main, "People ask where to go") || !strings.Contains(main, "Ayu") || !strings.Contains(main, "menunggu orang kedua") {
		t.Errorf("the second person reads %s", main)
	}
	form = p.fields(page)
	form.Set("do", "confirm")
	form.Set("digits", "0000")
	if p = w.post("colleague", page, form); p.status != http.StatusUnprocessableEntity {
		t.Errorf("with wrong digits it answers %d", p.status)
	}
	form = p.fields(page)
	form.Set("do", "confirm")
	form.Set("digits", digits)
	p = w.post("colleague", page+"?lang=en", form)
	checkPage(t, "a public statement that was confirmed", p)
	if public := w.get("nobody", "/public"+room); p.status != http.StatusOK || !strings.Contains(public.body, "Stay away from the market") || !strings.Contains(public.body, "Nusa") {
		t.Errorf("it is not public: %d %s", p.status, text(p.all("main", "")[0]))
	}
}

// Two people act at the same time: the second is told what changed, nothing of
// theirs was done, and the form comes back with what they wrote. A vote after
// the end is told when it ended and what to do.
func TestTwoPeopleActAtOnce(t *testing.T) {
	var ahead atomic.Int64
	w := newWorldWith(t, func(o *app.Options) {
		o.Notice = "demo"
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	room := "/incidents/" + w.incident
	digits := w.incident[len(w.incident)-4:]

	if p := w.get("officer", "/?lang=id"); !strings.Contains(p.body, "Demo: cerita rekaan") || strings.Contains(p.body, "Demo: a fictional") {
		t.Error("the line of the demo is not in the reader's language")
	}

	// An update is written while another one is posted.
	form := w.get("officer", room+"/updates/new?lang=en").fields(room + "/updates/new")
	if form.Get("_seen") == "" || form.Get("_key") == "" {
		t.Fatalf("the form of updates has the hidden fields %v", form)
	}
	_, err := w.node.Incidents.PostUpdate(t.Context(), w.actor["platform"], w.incident, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "Theirs came first"}})
	w.ok(err)
	form.Set("en", "Mine was "+hostile)
	form.Set("audience", "partners")
	form.Set("do", "send")
	p := w.post("officer", room+"/updates/new?lang=en", form)
	checkPage(t, "a second update", p)
	main := text(p.all("main", "")[0])
	if p.status != http.StatusConflict || !strings.Contains(main, "Changed while you were reading") || !strings.Contains(main, "posted update") {
		t.Errorf("the second update came to %d: %s", p.status, main)
	}
	kept := false
	for _, n := range p.all("textarea", "name") {
		kept = kept || attr(n, "name") == "en" && strings.Contains(text(n), "Mine was <script>")
	}
	if !kept {
		t.Error("what the second one wrote is gone")
	}
	if strings.Contains(w.get("officer", room+"/updates").body, "Mine was") {
		t.Error("the second update was posted all the same")
	}
	// Having seen what changed, the same form sends it.
	again := p.fields(room + "/updates/new")
	for _, name := range []string{"en", "audience", "do"} {
		again.Set(name, form.Get(name))
	}
	if p := w.post("officer", room+"/updates/new?lang=en", again); !strings.Contains(p.path, "sent=") && p.status != http.StatusOK {
		t.Errorf("sending it again came to %d %s", p.status, p.path)
	}

	w.statement(t)

	// A vote arrives after the vote has ended.
	vote := room + "/activations/sea-crp/vote"
	form = w.get("platform", room+"/activations/sea-crp?lang=en").fields(vote)
	if form.Get("_key") == "" {
		t.Fatal("the platform has no form to vote with")
	}
	ahead.Store(int64(20 * time.Minute))
	w.get("platform", "/") // or the session ends first
	ahead.Store(int64(31 * time.Minute))
	form.Set("vote", "yes")
	form.Set("reason", "Copies on ours")
	form.Set("digits", digits)
	p = w.post("platform", vote+"?lang=en", form)
	main = text(p.all("main", "")[0])
	if p.status != http.StatusConflict && p.status != http.StatusUnprocessableEntity {
		t.Errorf("a late vote answers %d: %s", p.status, main)
	}
	if !strings.Contains(main, "closed at ") || !strings.Contains(p.body, "Copies on ours") {
		t.Errorf("a late vote is not told when it ended, or its reason is gone: %s", main)
	}
	inc, err := w.node.Incidents.Get(t.Context(), w.actor["platform"], w.incident)
	w.ok(err)
	if len(inc.Activations["sea-crp"].Votes) != 1 {
		t.Errorf("the late vote counts: %v", inc.Activations["sea-crp"].Votes)
	}
}

// A partner that acknowledged before the activation is asked anew by it: the
// ask stands with its button where things are asked, all pages count the same,
// and pressing it stops the calls.
func TestActivationAsksAnew(t *testing.T) {
	w := newWorld(t)
	_, err := w.node.Incidents.Acknowledge(t.Context(), w.actor["officer"], w.incident)
	w.ok(err)
	_, err = w.node.Incidents.Act(t.Context(), w.actor["platform"], w.incident, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "Copies on ours"})
	w.ok(err)
	room := "/incidents/" + w.incident
	button := func(p page) bool { return len(p.fields(room+"/acknowledge")) > 0 }
	counts := func(n string) {
		t.Helper()
		for path, want := range map[string]string{"/": "acknowledged " + n + " of 3", room: n + " of 3", room + "/acknowledgements": n + " of 3 partners", room + "/brief": n + " of 3 partners"} {
			if main := text(w.get("officer", path+"?lang=en").all("main", "")[0]); !strings.Contains(main, want) {
				t.Errorf("%s does not say %q: %s", path, want, main)
			}
		}
	}
	counts("0")
	for _, path := range []string{"/", "/asks", room, room + "/acknowledgements"} {
		p := w.get("officer", path+"?lang=en")
		if !strings.Contains(p.body, "Say that you have seen that sea-crp is active") || !button(p) {
			t.Errorf("%s does not ask the officer to acknowledge the activation", path)
		}
	}
	w.post("officer", room+"/acknowledge", w.get("officer", room).fields(room+"/acknowledge"))
	counts("1")
	// The chart's one bracket for all is met when all have met it; its table
	// names each.
	if body := w.get("officer", room+"?lang=en").body; !strings.Contains(body, ">Say that you have seen it: open</text>") || strings.Contains(body, ">Say that you have seen it: met</text>") || !strings.Contains(body, "Say that you have seen it: met<") {
		t.Error("with two of three missing, the room's chart does not say that the clock is open")
	}
	for _, path := range []string{"/", room, room + "/acknowledgements"} {
		if button(w.get("officer", path)) {
			t.Errorf("%s still asks", path)
		}
	}
}

// Pages claim nothing that their reader may not see, a signal that stands still
// is not shown as if it blocked, and many proposals of one partner are one line.
func TestPagesClaimWhatTheirReaderMaySee(t *testing.T) {
	w := newWorld(t)
	for who, want := range map[string][]string{
		"observer": {"No open incident that you may see.", "none that you may see", "Of what you may see, all partners have answered"},
		"operator": {"Your role does not show you incidents. Some may be open.", "none that you may see", "Who has answered an incident is not shown to your role."},
	} {
		main := text(w.get(who, "/?lang=en").all("main", "")[0])
		for _, s := range want {
			if !strings.Contains(main, s) {
				t.Errorf("%s is not told %q: %s", who, s, main)
			}
		}
		for _, never := range []string{"0 real", "No open incident.", "All partners have answered"} {
			if strings.Contains(main, never) {
				t.Errorf("%s is told %q, which they cannot know", who, never)
			}
		}
	}

	if p := w.get("operator", "/"); strings.Contains(p.body, w.incident) || strings.Contains(p.body, w.signal) {
		t.Error("the operator's board tells of incidents and signals, which they may not open")
	}

	does := func() string {
		return strings.Join(strings.Fields(text(w.get("officer", "/signals/"+w.signal+"?lang=en").all("", "data-region")[0])), " ")
	}
	if s := does(); !strings.Contains(s, "Action review") {
		t.Errorf("an active signal: %s", s)
	}
	_, err := w.node.Signals.Suspend(t.Context(), w.actor["officer"], w.signal, signal.Decision{Reason: "it may be wrong", Reach: signal.Everywhere})
	w.ok(err)
	if s := does(); !strings.Contains(s, "Action none while suspended; then: review") {
		t.Errorf("a suspended signal: %s", s)
	}

	quality := 90
	for i := range 5 {
		_, err := w.node.Signals.Propose(t.Context(), w.actor["platform"], signal.Proposal{Incident: w.incident, Kind: "pdq", Value: strings.Repeat(strconv.Itoa(i+2)+"f1e2d3c4b5a6978", 4), Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Review, TLP: "amber", Provenance: signal.Provenance{Quality: &quality, Tool: "test"}})
		w.ok(err)
	}
	for _, path := range []string{"/", "/incidents/" + w.incident} {
		p := w.get("officer", path+"?lang=en")
		main := text(p.all("main", "")[0])
		if !strings.Contains(main, "Approve 6 signals proposed by Lensa") || strings.Contains(main, "Approve S-") {
			t.Errorf("%s asks for each of six: %s", path, main)
		}
		for _, n := range p.all("a", "href") {
			if href := attr(n, "href"); strings.HasPrefix(href, "/signals?incident="+w.incident) {
				if list := w.get("officer", href); strings.Count(list.body, "/signals/S-") < 6 || strings.Contains(text(list.all("main", "")[0]), w.signal) {
					t.Errorf("%s does not list the six", href)
				}
			}
		}
	}
}
