package incident_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/asks"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// together is a node with a clock of its own and three partners that decide.
type together struct {
	*app.Node
	now                time.Time
	nusa, lensa, warga access.Actor
	colleague          access.Actor // of nusa
	id                 string
}

func newTogether(t *testing.T) *together {
	t.Helper()
	w := &together{now: time.Date(2026, 3, 2, 14, 33, 0, 0, time.UTC)}
	dir := t.TempDir() + "/node"
	made, err := app.Init(t.Context(), app.InitOptions{Data: dir})
	ok(t, err)
	w.Node, err = app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	ok(t, err)
	t.Cleanup(func() { ok(t, w.Close()) })
	for _, p := range []partner.NewPartner{{Name: "Nusa", Kind: access.Government, Country: "ID"}, {Name: "Lensa", Kind: access.Platform, Country: "ID"}, {Name: "Warga", Kind: access.CivilSociety, Country: "ID"}} {
		_, err := w.Partners.Add(t.Context(), partner.Shell(made.Partner), p)
		ok(t, err)
	}
	who := func(partner, member string, kind access.PartnerKind) access.Actor {
		return access.Actor{Partner: partner, Kind: kind, Country: "ID", Member: member, Name: member, StepUp: w.now.Add(24 * time.Hour * 400), For: access.AnyAction, Roles: []access.Role{access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}}
	}
	w.nusa, w.lensa, w.warga = who("nusa", "ayu", access.Government), who("lensa", "sari", access.Platform), who("warga", "dewi", access.CivilSociety)
	w.colleague = who("nusa", "budi", access.Government)
	no := false
	inc, err := w.Incidents.Notify(t.Context(), w.lensa, incident.Notice{Description: "A stream of an attack", Country: "ID", Exercise: &no})
	ok(t, err)
	w.id = inc.ID
	return w
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err error, k problem.Kind) {
	t.Helper()
	if problem.KindOf(err) != k {
		t.Fatalf("got %q (%v), want %q", problem.KindOf(err), err, k)
	}
}

func (w *together) activate(t *testing.T) incident.Incident {
	t.Helper()
	_, err := w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	ok(t, err)
	inc, err := w.Incidents.Act(t.Context(), w.lensa, w.id, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "agreed"})
	ok(t, err)
	if inc.Activations["sea-crp"].State != protocol.Active {
		t.Fatalf("state %q", inc.Activations["sea-crp"].State)
	}
	return inc
}

// A question waits for those that it was asked of, is answered, and is settled
// once; who does not see the incident can neither be asked nor answer.
func TestQuestions(t *testing.T) {
	w := newTogether(t)
	_, err := w.Incidents.Ask(t.Context(), w.nusa, w.id, []string{"warga"}, "Who knows?")
	want(t, err, problem.Invalid)
	_, err = w.Incidents.Ask(t.Context(), w.nusa, w.id, nil, "  ")
	want(t, err, problem.Invalid)
	inc, err := w.Incidents.Ask(t.Context(), w.nusa, w.id, []string{"lensa", "lensa"}, "Is the stream over?")
	ok(t, err)
	q := inc.Questions[0]
	if len(q.To) != 1 || !q.Waits("lensa") || q.Waits("nusa") {
		t.Fatalf("question %+v", q)
	}
	_, err = w.Incidents.Answer(t.Context(), w.warga, w.id, 1, "Yes", true)
	want(t, err, problem.NotFound)
	inc, err = w.Incidents.Answer(t.Context(), w.lensa, w.id, 1, "It ended at 14:36", false)
	ok(t, err)
	if q = inc.Questions[0]; q.Waits("lensa") || q.Settled || q.Answers[0].By.Partner != "lensa" {
		t.Fatalf("answered: %+v", q)
	}
	_, err = w.Incidents.Answer(t.Context(), w.nusa, w.id, 1, "Confirmed", true)
	ok(t, err)
	_, err = w.Incidents.Answer(t.Context(), w.lensa, w.id, 1, "once more", false)
	want(t, err, problem.Conflict)
	_, err = w.Incidents.Answer(t.Context(), w.lensa, w.id, 9, "none", false)
	want(t, err, problem.NotFound)
}

// The lead changes when both have pressed, and the journal names both.
func TestHandoverNeedsBoth(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	_, err := w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.HandOver, To: "lensa"})
	want(t, err, problem.Invalid)
	_, err = w.Incidents.OfferHandover(t.Context(), w.nusa, w.id, "sea-crp", "warga", "take it")
	want(t, err, problem.Invalid)
	inc, err := w.Incidents.OfferHandover(t.Context(), w.nusa, w.id, "sea-crp", "lensa", "Update 2 is promised for 15:44")
	ok(t, err)
	if lead := inc.Activations["sea-crp"].Lead; lead != "nusa" {
		t.Fatalf("an offer alone made %s lead", lead)
	}
	_, err = w.Incidents.AnswerHandover(t.Context(), w.colleague, w.id, 1, false)
	want(t, err, problem.Denied)
	inc, err = w.Incidents.AnswerHandover(t.Context(), w.lensa, w.id, 1, false)
	ok(t, err)
	if lead := inc.Activations["sea-crp"].Lead; lead != "lensa" {
		t.Fatalf("lead is %s", lead)
	}
	_, err = w.Incidents.AnswerHandover(t.Context(), w.lensa, w.id, 1, false)
	want(t, err, problem.Conflict)
	entries, err := w.Incidents.Timeline(t.Context(), w.nusa, w.id, 0, 5)
	ok(t, err)
	if entries[0].Type != protocol.EvHandedOver || entries[0].Partner != "lensa" || !strings.Contains(string(entries[0].Body), `"nusa"`) || entries[1].Type != "handover.accepted" {
		t.Fatalf("the journal says %s by %s: %s", entries[0].Type, entries[0].Partner, entries[0].Body)
	}

	// A shift: a colleague takes it, not the one who offers.
	_, err = w.Incidents.OfferHandover(t.Context(), w.nusa, w.id, "", "", "Going off at 22:00")
	ok(t, err)
	_, err = w.Incidents.AnswerHandover(t.Context(), w.nusa, w.id, 2, false)
	want(t, err, problem.Denied)
	inc, err = w.Incidents.AnswerHandover(t.Context(), w.colleague, w.id, 2, false)
	ok(t, err)
	if inc.Offers[1].Accepted.Member != "budi" || inc.Offers[1].Open() {
		t.Fatalf("shift %+v", inc.Offers[1])
	}
}

// Who decides on what has changed meanwhile is told, and nothing happens; what
// does not matter for a decision gets in nobody's way.
func TestSeen(t *testing.T) {
	w := newTogether(t)
	inc, err := w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	ok(t, err)
	read := inc.Last.Entry
	_, err = w.Incidents.Acknowledge(t.Context(), w.nusa, w.id)
	ok(t, err)
	_, err = w.Incidents.PostUpdate(incident.Seen(t.Context(), read), w.nusa, w.id, incident.NewUpdate{Texts: map[string]string{"en": "First"}})
	ok(t, err)
	late := incident.Seen(t.Context(), read)
	_, err = w.Incidents.PostUpdate(late, w.lensa, w.id, incident.NewUpdate{Texts: map[string]string{"en": "Second"}})
	want(t, err, problem.Conflict)
	newer, err := w.Incidents.Since(t.Context(), w.lensa, w.id, read)
	ok(t, err)
	if len(newer) != 1 || newer[0].Type != "update.posted" {
		t.Fatalf("what changed: %v", newer)
	}
	inc, err = w.Incidents.Get(t.Context(), w.lensa, w.id)
	ok(t, err)
	if len(inc.Updates) != 1 {
		t.Fatalf("%d updates", len(inc.Updates))
	}
	_, err = w.Incidents.PostUpdate(incident.Seen(t.Context(), inc.Last.Entry), w.lensa, w.id, incident.NewUpdate{Texts: map[string]string{"en": "Second"}, Corrects: 1})
	ok(t, err)
}

// Who has seen the notice has not seen the activation, which asks anew; one
// answer counts for both.
func TestAcknowledgements(t *testing.T) {
	w := newTogether(t)
	_, err := w.Incidents.Acknowledge(t.Context(), w.nusa, w.id)
	ok(t, err)
	w.now = w.now.Add(3 * time.Minute)
	active := w.now
	inc := w.activate(t)
	for _, p := range []string{"nusa", "lensa"} {
		a, waits := inc.Waiting(p)
		if !waits || a.Protocol != "sea-crp" || !a.Asked.Equal(active) || !a.Due.Equal(active.Add(10*time.Minute)) || a.At.IsZero() {
			t.Errorf("activated: %+v", a)
		}
	}
	if n, of := inc.Acked(); n != 0 || of != 3 {
		t.Errorf("activated: %d of %d", n, of)
	}
	w.now = w.now.Add(time.Minute)
	inc, err = w.Incidents.Acknowledge(t.Context(), w.nusa, w.id)
	ok(t, err)
	if n, of := inc.Acked(); n != 1 || of != 3 || strings.Join(inc.Missing(), " ") != "lensa secretariat" || strings.Join(inc.Seen(), " ") != "nusa" {
		t.Errorf("answered: %d of %d, missing %v", n, of, inc.Missing())
	}
	if a := inc.Acknowledgements()[slices.Index(inc.Called, "nusa")]; !a.At.Equal(w.now) || a.Protocol != "" {
		t.Errorf("answered: %+v", a)
	}
	_, err = w.Incidents.Acknowledge(t.Context(), w.nusa, w.id)
	want(t, err, problem.Conflict)
	// Who answers the clock alone has seen the incident as well.
	inc, err = w.Incidents.Act(t.Context(), w.lensa, w.id, "sea-crp", protocol.Action{Verb: protocol.Acknowledge})
	ok(t, err)
	if n, of := inc.Acked(); n != 2 || of != 3 {
		t.Errorf("the other one: %d of %d", n, of)
	}
}

// A draft is the partner's, is gone once the update is posted, and is shown to
// no other partner.
func TestDrafts(t *testing.T) {
	w := newTogether(t)
	_, err := w.Incidents.SaveDraft(t.Context(), w.nusa, w.id, incident.NewUpdate{Audience: "partners", Texts: map[string]string{"en": "Half", "id": " "}})
	ok(t, err)
	d, there, err := w.Incidents.Draft(t.Context(), w.colleague, w.id)
	ok(t, err)
	if !there || d.Texts["en"] != "Half" || len(d.Texts) != 1 || d.Member != "ayu" {
		t.Fatalf("draft %+v", d)
	}
	_, there, err = w.Incidents.Draft(t.Context(), w.lensa, w.id)
	ok(t, err)
	if there {
		t.Fatal("another partner has the draft")
	}
	_, err = w.Incidents.PostUpdate(t.Context(), w.colleague, w.id, incident.NewUpdate{Texts: map[string]string{"en": "Whole"}})
	ok(t, err)
	_, there, err = w.Incidents.Draft(t.Context(), w.nusa, w.id)
	ok(t, err)
	if there {
		t.Fatal("the draft outlived its update")
	}
}

func edited(t *testing.T, version string) []byte {
	t.Helper()
	def, err := protocol.Lookup("sea-crp")
	ok(t, err)
	src := bytes.Replace(def.Source, []byte("version: "+def.Version), []byte("version: "+version), 1)
	return bytes.Replace(src, []byte("due: 10m"), []byte("due: 15m"), 1)
}

// A new version is adopted by the quorum of the one that it replaces; what
// runs keeps the version that it began with.
func TestVersionsAreAdopted(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	bad := bytes.Replace(edited(t, "1.1.0"), []byte("quorum: 2"), []byte("quorum: two"), 1)
	_, err := w.Incidents.ProposeVersion(t.Context(), w.nusa, bad, "shorter")
	want(t, err, problem.Invalid)
	if !strings.Contains(err.Error(), "line ") && !strings.Contains(err.Error(), ":") {
		t.Errorf("no line in %v", err)
	}
	_, err = w.Incidents.ProposeVersion(t.Context(), w.nusa, edited(t, "0.9.0"), "older")
	want(t, err, problem.Invalid)
	_, err = w.Incidents.ProposeVersion(t.Context(), w.warga, edited(t, "1.1.0"), "longer")
	want(t, err, problem.Denied)
	v, err := w.Incidents.ProposeVersion(t.Context(), w.nusa, edited(t, "1.1.0"), "ten minutes are too short")
	ok(t, err)
	if v.State != incident.Voted || v.Replaces == "" || len(v.Votes) != 1 {
		t.Fatalf("proposal %+v", v)
	}
	_, err = w.Incidents.ProposeVersion(t.Context(), w.lensa, edited(t, "1.1.0"), "again")
	want(t, err, problem.Conflict)
	view, err := w.Incidents.Protocol(t.Context(), w.lensa, "sea-crp")
	ok(t, err)
	if view.Current.Version == "1.1.0" || !view.Builtin {
		t.Fatal("a proposal is current already")
	}
	v, err = w.Incidents.VoteVersion(t.Context(), w.lensa, v.Hash, protocol.VoteYes, "agreed")
	ok(t, err)
	if v.State != incident.Adopted {
		t.Fatalf("after the quorum it is %s, %+v", v.State, v.Tally())
	}
	_, err = w.Incidents.VoteVersion(t.Context(), w.lensa, v.Hash, protocol.VoteNo, "late")
	want(t, err, problem.Conflict)
	view, err = w.Incidents.Protocol(t.Context(), w.lensa, "sea-crp")
	ok(t, err)
	if view.Current.Version != "1.1.0" || view.Builtin {
		t.Fatalf("current is %s", view.Current.Version)
	}
	inc, err := w.Incidents.Get(t.Context(), w.nusa, w.id)
	ok(t, err)
	running, err := w.Incidents.Definition(t.Context(), inc, "sea-crp")
	ok(t, err)
	if running.Version != "1.0.0" {
		t.Fatalf("the running activation follows %s", running.Version)
	}
	no := false
	other, err := w.Incidents.Notify(t.Context(), w.lensa, incident.Notice{Description: "Another", Country: "SG", Exercise: &no})
	ok(t, err)
	other, err = w.Incidents.Act(t.Context(), w.nusa, other.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	ok(t, err)
	if got := other.Activations["sea-crp"].Version; got != "1.1.0" {
		t.Fatalf("a new activation begins with %s", got)
	}
	// A second version replaces the first; a vote that nobody joins lapses.
	v2, err := w.Incidents.ProposeVersion(t.Context(), w.nusa, edited(t, "1.2.0"), "once more")
	ok(t, err)
	w.now = w.now.Add(incident.AdoptionOpen + time.Second)
	ok(t, w.Incidents.Tick(t.Context()))
	_, err = w.Incidents.VoteVersion(t.Context(), w.lensa, v2.Hash, protocol.VoteYes, "late")
	want(t, err, problem.Conflict)
	view, err = w.Incidents.Protocol(t.Context(), w.lensa, "sea-crp")
	ok(t, err)
	if view.Versions[0].State != incident.Lapsed || view.Current.Version != "1.1.0" {
		t.Fatalf("after the time it is %s, current %s", view.Versions[0].State, view.Current.Version)
	}
}

// An adopted version ends the votes on others, which were proposed in place of
// what is no longer current and counted by its rule: none of them can bring the
// protocol back. A higher one is proposed anew.
func TestVersionsLapseWithAnAdoption(t *testing.T) {
	w := newTogether(t)
	ctx := t.Context()
	hash := map[string]string{}
	for _, version := range []string{"1.8.0", "1.9.0", "2.0.0"} {
		v, err := w.Incidents.ProposeVersion(ctx, w.nusa, edited(t, version), "better")
		ok(t, err)
		hash[version] = v.Hash
	}
	_, err := w.Incidents.VoteVersion(ctx, w.lensa, hash["1.9.0"], protocol.VoteYes, "agreed")
	ok(t, err)
	for _, version := range []string{"1.8.0", "2.0.0"} {
		_, err := w.Incidents.VoteVersion(ctx, w.lensa, hash[version], protocol.VoteYes, "late")
		want(t, err, problem.Conflict)
	}
	view, err := w.Incidents.Protocol(ctx, w.lensa, "sea-crp")
	ok(t, err)
	states := map[string]incident.VersionState{}
	for _, v := range view.Versions {
		states[v.Version] = v.State
	}
	if view.Current.Version != "1.9.0" || states["1.9.0"] != incident.Adopted || states["1.8.0"] != incident.Lapsed || states["2.0.0"] != incident.Lapsed {
		t.Fatalf("current is %s, states %v", view.Current.Version, states)
	}
	v, err := w.Incidents.ProposeVersion(ctx, w.nusa, edited(t, "2.0.0"), "better still")
	ok(t, err)
	if v.State != incident.Voted || v.Replaces != "1.9.0" || len(v.Votes) != 1 {
		t.Errorf("proposed anew: %+v", v)
	}
}

// No reason is longer than people read, wherever it is entered.
func TestReasonsAreShort(t *testing.T) {
	w := newTogether(t)
	ctx := t.Context()
	v, err := w.Incidents.ProposeVersion(ctx, w.nusa, edited(t, "1.1.0"), strings.Repeat("é", signal.MaxReason))
	ok(t, err)
	long := strings.Repeat("x", signal.MaxReason+1)
	for name, do := range map[string]func() error{
		"close":   func() error { _, err := w.Incidents.Close(ctx, w.nusa, w.id, long); return err },
		"reopen":  func() error { _, err := w.Incidents.Reopen(ctx, w.nusa, w.id, long); return err },
		"propose": func() error { _, err := w.Incidents.ProposeVersion(ctx, w.nusa, edited(t, "1.2.0"), long); return err },
		"vote": func() error {
			_, err := w.Incidents.VoteVersion(ctx, w.lensa, v.Hash, protocol.VoteNo, long)
			return err
		},
		"withdraw": func() error { _, err := w.Incidents.WithdrawVersion(ctx, w.nusa, v.Hash, long); return err },
	} {
		if err := do(); problem.KindOf(err) != problem.Invalid || len(err.Error()) > 500 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// What matters is found behind however many entries that do not.
func TestSeenOnABusyIncident(t *testing.T) {
	w := newTogether(t)
	inc, err := w.Incidents.Get(t.Context(), w.nusa, w.id)
	ok(t, err)
	read := inc.Last.Entry
	ok(t, w.Log.Update(t.Context(), func(tx *journal.Tx) error {
		for range 210 {
			e := journal.New("asset.added", w.nusa, w.now, incident.NewAsset{Kind: "video", Text: "A copy"}, journal.Ref{Kind: incident.KindIncident, ID: w.id})
			e.Audience = inc.Audience
			if _, err := tx.Append(e); err != nil {
				return err
			}
		}
		return nil
	}))
	n := incident.NewUpdate{Texts: map[string]string{"en": "It is over"}}
	_, err = w.Incidents.PostUpdate(incident.Seen(t.Context(), read), w.nusa, w.id, n) // assets are in nobody's way
	ok(t, err)
	_, err = w.Incidents.PostUpdate(incident.Seen(t.Context(), read), w.lensa, w.id, n)
	want(t, err, problem.Conflict)
}

// What was renewed outlives the conclusion, for review at most; what was not
// expires with it.
func TestSettledSignals(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	var ids []string
	for i := range 3 {
		q := 90
		sig, err := w.Signals.Propose(t.Context(), w.lensa, signal.Proposal{Incident: w.id, Kind: "pdq", Value: strings.Repeat(string(rune('a'+i))+"f1e2d3c4b5a6978", 4), Labels: []string{"propaganda"}, Producer: "perpetrator", Action: signal.Block, TLP: "amber", Provenance: signal.Provenance{Quality: &q, Tool: "test"}})
		ok(t, err)
		sig, err = w.Signals.Approve(t.Context(), w.nusa, sig.ID, signal.Decision{Reason: "checked"})
		ok(t, err)
		ids = append(ids, sig.ID)
	}
	answers := []protocol.Answer{}
	def, err := protocol.Lookup("sea-crp")
	ok(t, err)
	for _, q := range def.StandDown.Ask {
		answers = append(answers, protocol.Answer{ID: q.ID, Answer: "yes", Evidence: "counted"})
	}
	_, err = w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.ProposeStandDown, Reason: "volume fell", Answers: answers})
	ok(t, err)
	_, err = w.Incidents.Act(t.Context(), w.lensa, w.id, "sea-crp", protocol.Action{Verb: protocol.VoteStandDown, Vote: protocol.VoteYes})
	ok(t, err)
	until := w.now.Add(7 * 24 * time.Hour)
	_, err = w.Signals.Settle(t.Context(), w.nusa, w.id, []signal.Settlement{{Signal: ids[0], Until: until}, {Signal: ids[1], Until: w.now.Add(time.Hour * 24 * 900)}}, "still spreads")
	want(t, err, problem.Invalid)
	if sig, err := w.Signals.Get(context.WithoutCancel(t.Context()), w.nusa, ids[0]); err != nil || !sig.Renewed.IsZero() {
		t.Fatalf("half of it was done: %v %v", sig.Renewed, err)
	}
	_, err = w.Signals.Settle(t.Context(), w.nusa, w.id, []signal.Settlement{{Signal: ids[0], Until: until}, {Signal: ids[1]}}, "still spreads")
	ok(t, err)
	_, err = w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: protocol.Conclude, Reason: "done"})
	ok(t, err)
	for i, want := range []signal.State{signal.Active, signal.Withdrawn, signal.Expired} {
		sig, err := w.Signals.Get(t.Context(), w.nusa, ids[i])
		ok(t, err)
		if sig.State != want || (i == 0 && (sig.Does != signal.Review || !sig.ExpiresAt.Equal(until))) {
			t.Errorf("%s is %s and does %s until %v, want %s", sig.ID, sig.State, sig.Does, sig.ExpiresAt, want)
		}
	}
}

// Whom an activation calls is decided by the directory and by who may see the
// incident, not by what the caller says of them.
func TestCalledPartnersAreReal(t *testing.T) {
	w := newTogether(t)
	do := func(verb protocol.Verb, list ...protocol.Participant) error {
		_, err := w.Incidents.Act(t.Context(), w.nusa, w.id, "sea-crp", protocol.Action{Verb: verb, Level: "crisis", Reason: "real", Partners: list})
		return err
	}
	ghost := protocol.Participant{ID: "ghost", Kind: access.Platform}
	for _, verb := range []protocol.Verb{protocol.Propose, protocol.UseEmergency} {
		err := do(verb, protocol.Participant{ID: "lensa", Kind: access.Platform}, ghost)
		if want(t, err, problem.Invalid); !strings.Contains(err.Error(), `"ghost"`) {
			t.Errorf("%s does not name the ghost: %v", verb, err)
		}
	}
	// A platform that calls itself a government has no government's vote.
	ok(t, do(protocol.Propose, protocol.Participant{ID: "lensa", Kind: access.Government}))
	inc, err := w.Incidents.Get(t.Context(), w.nusa, w.id)
	ok(t, err)
	for _, p := range inc.Activations["sea-crp"].Partners {
		if p.ID == "lensa" && p.Kind != access.Platform {
			t.Errorf("lensa is called as %q", p.Kind)
		}
	}
	// Civil society may not see what is amber, so it is not called for it.
	for _, p := range []protocol.Participant{ghost, {ID: "warga", Kind: access.Platform}} {
		if err := do(protocol.CallPartners, p); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), p.ID) {
			t.Errorf("calling %s: %v", p.ID, err)
		}
	}
	inc, err = w.Incidents.Get(t.Context(), w.nusa, w.id)
	ok(t, err)
	if n := len(inc.Activations["sea-crp"].Partners); n != 2 {
		t.Errorf("%d partners take part: %+v", n, inc.Activations["sea-crp"].Partners)
	}
}

// Where the lead has left, those who may hand the lead on are asked, and one
// that takes it has it at once.
func TestLeadThatLeft(t *testing.T) {
	w := newTogether(t)
	inc := w.activate(t)
	if inc.Activations["sea-crp"].Lead != "nusa" || len(inc.Leaderless) != 0 {
		t.Fatalf("led by %q, %v", inc.Activations["sea-crp"].Lead, inc.Leaderless)
	}
	asked := func(by access.Actor) bool {
		t.Helper()
		all, _, err := w.Incidents.List(t.Context(), by, incident.Query{}) // as the board reads it
		ok(t, err)
		list, err := asks.Services{Partners: w.Partners, Incidents: w.Incidents, Signals: w.Signals}.OfIncident(t.Context(), by, w.now, all[0])
		ok(t, err)
		return slices.ContainsFunc(list, func(a asks.Ask) bool { return a.Kind == asks.TakeLead && a.By == "nusa" && a.Protocol == "sea-crp" })
	}
	if asked(w.lensa) {
		t.Error("asked while the lead is there")
	}
	_, err := w.Incidents.OfferHandover(t.Context(), w.lensa, w.id, "sea-crp", "lensa", "I lead now")
	ok(t, err) // an offer to itself: nothing has changed
	inc, err = w.Incidents.Get(t.Context(), w.lensa, w.id)
	ok(t, err)
	if inc.Activations["sea-crp"].Lead != "nusa" {
		t.Fatal("a lead that is there was taken away")
	}
	_, err = w.Incidents.AnswerHandover(t.Context(), w.lensa, w.id, 1, true)
	ok(t, err)
	_, err = w.Partners.Disable(t.Context(), partner.Shell(partner.Partner{ID: "secretariat", Kind: access.Intergovernmental, Country: "ID"}), "nusa", true, "it left the partnership")
	ok(t, err)
	if !asked(w.lensa) {
		t.Error("nobody is asked to take the lead")
	}
	inc, err = w.Incidents.OfferHandover(t.Context(), w.lensa, w.id, "sea-crp", "lensa", "Nusa has left")
	ok(t, err)
	if inc.Activations["sea-crp"].Lead != "lensa" || len(inc.Leaderless) != 0 || asked(w.lensa) {
		t.Errorf("led by %q, %v", inc.Activations["sea-crp"].Lead, inc.Leaderless)
	}
}

// What is active leads, whoever proposes what beside it and whatever its name;
// of several the one that began first.
func TestActiveLeads(t *testing.T) {
	w := newTogether(t)
	w.activate(t)
	inc, err := w.Incidents.Act(t.Context(), w.lensa, w.id, "cc-crp", protocol.Action{Verb: protocol.Propose, Level: "online_crisis", Reason: "copies spread"})
	ok(t, err)
	if vote := inc.Activations["cc-crp"]; vote.State != protocol.Voting || vote.Lead == "nusa" {
		t.Fatalf("cc-crp is %s, led by %q", vote.State, vote.Lead)
	}
	def, err := w.Incidents.Leading(t.Context(), inc)
	ok(t, err)
	if inc.Lead() != "nusa" || def.ID != "sea-crp" || inc.Phase() != "active" {
		t.Errorf("%s leads by %s, the incident is %s", inc.Lead(), def.ID, inc.Phase())
	}
	run := func(st protocol.State, lead string, hour int) protocol.Activation {
		a := protocol.Activation{State: st, Lead: lead, Proposed: w.now.Add(time.Duration(hour) * time.Hour)}
		if st != protocol.Voting {
			a.ActiveSince = a.Proposed
		}
		return a
	}
	for _, c := range []struct {
		runs map[string]protocol.Activation
		want string
	}{
		{nil, "warga"},
		{map[string]protocol.Activation{"a": run(protocol.Concluded, "x", 0)}, "warga"},
		{map[string]protocol.Activation{"a": run(protocol.Voting, "x", 2), "b": run(protocol.Voting, "y", 1)}, "y"},
		{map[string]protocol.Activation{"a": run(protocol.Active, "x", 2), "b": run(protocol.Active, "y", 1)}, "y"},
		{map[string]protocol.Activation{"a": run(protocol.StandingDown, "x", 1), "b": run(protocol.Active, "y", 2)}, "y"},
		{map[string]protocol.Activation{"a": run(protocol.Voting, "x", 0), "b": run(protocol.StandingDown, "y", 2)}, "y"},
	} {
		if got := (incident.Incident{Notified: incident.Act{Partner: "warga"}, Activations: c.runs}).Lead(); got != c.want {
			t.Errorf("%v: %s leads, want %s", c.runs, got, c.want)
		}
	}
}
