package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Who approves reads first what the signal will do, and why it is less than was
// proposed: in every language.
func TestApprovalSaysWhatItDoes(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	sig, err := w.node.Signals.Propose(ctx, w.actor["platform"], signal.Proposal{Incident: w.incident, Kind: "pdq", Value: strings.Repeat("a1b2c3d4e5f60718", 4), Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Block, TLP: "amber", Provenance: signal.Provenance{Quality: new(90)}})
	w.ok(err)
	says := func(who, id, verb string, in ...string) {
		t.Helper()
		p := w.get(who, "/signals/"+id+"/"+verb)
		var form string
		for _, f := range p.all("form", "action") {
			if attr(f, "action") == "/signals/"+id+"/"+verb {
				form = text(f)
			}
		}
		rest := form
		for _, s := range in {
			_, after, ok := strings.Cut(rest, s)
			if !ok {
				t.Fatalf("%s of %s by %s lacks %q in %q", verb, id, who, s, form)
			}
			rest = after
		}
		if len(in) == 2 && strings.Contains(form, "Proposed:") {
			t.Errorf("%s of %s says that less than proposed is done: %q", verb, id, form)
		}
	}
	held := "Proposed: block. Held to review: no protocol is active on its incident; as proposed once one is."
	says("officer", sig.ID, "approve", "You approve: review", held, "starts to match")
	says("officer", w.proposed, "approve", "You approve: review", "starts to match")
	says("platform", sig.ID, "approve", "You approve: block", "starts to match") // its own edges only
	for lang, want := range map[string]string{"ar": "حجب", "fil": "harangin", "fr": "blocage", "id": "blokir", "ms": "sekat", "th": "บล็อก", "vi": "chặn"} {
		p := w.get("officer", "/signals/"+sig.ID+"/approve?lang="+lang)
		if strings.Contains(p.body, "Held to") || !strings.Contains(text(p.all("form", "novalidate")[0]), want) {
			t.Errorf("%s does not say that block was proposed", lang)
		}
	}
	_, err = w.node.Incidents.Act(ctx, w.actor["platform"], w.incident, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "agreed"})
	w.ok(err)
	w.get("officer", "/signals?lang=en")
	says("officer", sig.ID, "approve", "You approve: block", "starts to match")
}

// The page that closes an incident offers no form that must fail: it says what
// ends first.
func TestClosingWaitsForWhatRuns(t *testing.T) {
	w := newWorld(t)
	page := func(id, want string, forms int) {
		t.Helper()
		p := w.get("officer", "/incidents/"+id+"/close")
		n := 0
		for _, f := range p.all("form", "action") {
			if attr(f, "action") == "/incidents/"+id+"/close" {
				n++
			}
		}
		if main := text(p.all("main", "")[0]); n != forms || !strings.Contains(main, want) {
			t.Errorf("%s: %d forms, want %d and %q in %q", id, n, forms, want, main)
		}
	}
	page(w.exercise, "Nothing may run on it", 1)
	page(w.incident, "Still running on it: sea-crp (Voting).", 0)
	_, err := w.node.Incidents.Act(context.Background(), w.actor["platform"], w.incident, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "agreed"})
	w.ok(err)
	page(w.incident, "Still running on it: sea-crp (Active).", 0)
	if p := w.get("officer", "/incidents/"+w.incident+"/close"); !strings.Contains(p.body, `class="btn primary" href="/incidents/`+w.incident+`/stand-down"`) {
		t.Error("it does not lead to the stand-down")
	}
}
