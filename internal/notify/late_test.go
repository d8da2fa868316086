package notify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// A partner that nobody knows, in a journal that an earlier release wrote, keeps
// nobody else from being called.
func TestGhostStopsNobody(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	w.hooks.take()
	if _, err := w.incidents.Act(t.Context(), w.fresh(w.nusa), inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"}); err != nil {
		t.Fatal(err)
	}
	at := w.now.UTC().Truncate(time.Millisecond)
	err := w.log.Update(t.Context(), func(tx *journal.Tx) error {
		e := journal.New(protocol.EvCalled, w.nusa, w.now, protocol.Event{
			Protocol: "sea-crp", At: at, Partners: []protocol.Participant{{ID: "ghost", Kind: access.Platform}},
			Clocks: []protocol.ClockState{{ID: "vote_ghost", MetBy: protocol.ByVote, Partner: "ghost", Period: 1, Started: at, Due: at.Add(10 * time.Minute)}},
		}, journal.Ref{Kind: incident.KindIncident, ID: inc.ID})
		e.Audience = inc.Audience
		_, err := tx.Append(e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.settle() // fails where a job fails
	if got := paths(w.hooks.take()); got != "/day" {
		t.Errorf("called for the vote: %q", got)
	}
	if n := len(w.calls("ghost")); n != 0 {
		t.Errorf("%d calls of the ghost", n)
	}
}

// A node that was away when an incident was notified calls those who still have
// not seen it, with a deadline that is ahead, and says that it is late; after
// hours it does not, and says so.
func TestAwayForAWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		away   time.Duration
		called string
		state  string
	}{
		{"in time", 9 * time.Minute, "/day, /night", notify.Calling}, // the steps of its time are not lost
		{"late", 11 * time.Minute, "/day", notify.Calling},
		{"an hour", time.Hour, "/night", notify.Calling}, // whose shift began meanwhile
		{"hours", 3 * time.Hour, "", notify.Missed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newTeam(t)
			w.incidentsQuiet(false)
			w.now = w.now.Add(c.away)
			w.settle()
			got := w.hooks.take()
			if called := sortedList(strings.Fields(paths(got))); called != c.called {
				t.Errorf("called %q, want %q", called, c.called)
			}
			late := c.away > 10*time.Minute
			for _, m := range got {
				says := strings.Contains(m.Text, "is overdue. Confirm by ") || strings.Contains(m.Text, "terlambat. Konfirmasi sebelum ")
				if says != late || late && !strings.Contains(m.Text, w.now.Add(10*time.Minute).Format("15:04")+" UTC") {
					t.Errorf("it says %q", m.Text)
				}
			}
			st, err := w.notify.Acknowledgements(t.Context(), w.nusa, "IDN-2026-0001")
			if err != nil || len(st) != 2 || st[0].Partner != "lensa" || st[0].State != c.state || st[0].Acknowledged {
				t.Fatalf("%+v, %v", st, err)
			}
			if !late || len(got) == 0 {
				return
			}
			w.pass(5 * time.Minute) // its own steps
			if next := paths(w.hooks.take()); (next != "/day" && next != "/night") || next == c.called {
				t.Errorf("after five minutes: %q", next)
			}
			if a, err := w.notify.Press(t.Context(), access.Actor{}, w.code(got[0]), false); err != nil || a.State != notify.AskSeen {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// A vote that closed while the node was away wakes nobody, though no job has
// looked at its clock yet.
func TestAwayPastTheVote(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	if _, err := w.incidents.Acknowledge(t.Context(), w.day, inc.ID); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.hooks.take()
	inc, err := w.incidents.Act(t.Context(), w.fresh(w.nusa), inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "real"})
	if err != nil {
		t.Fatal(err)
	}
	w.now = inc.Activations["sea-crp"].Closes
	for range 2 {
		if err := w.notify.Incident(t.Context(), notify.IncidentArgs{Incident: inc.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if got := paths(w.hooks.take()); got != "" {
		t.Errorf("called for a vote that is over: %q", got)
	}
}

// halfway fails while it acknowledges, after it has written.
type halfway struct {
	notify.Incidents
	fail *bool
}

func (h halfway) AcknowledgeIn(tx *journal.Tx, by access.Actor, id string, activations bool, now time.Time) error {
	err := h.Incidents.AcknowledgeIn(tx, by, id, activations, now)
	if *h.fail {
		return problem.New(problem.Unavailable, "the store is away", "retry")
	}
	return err
}

// An answer by a link ends the call and acknowledges the incident, or does
// neither.
func TestPressIsWhole(t *testing.T) {
	t.Parallel()
	fail := true
	w := newTeam(t, func(o *notify.Options) { o.Incidents = halfway{o.Incidents, &fail} })
	inc := w.incident(w.nusa, false)
	code := w.code(w.hooks.take()[0])
	if _, err := w.notify.Press(t.Context(), access.Actor{}, code, false); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("the first press: %v", err)
	}
	if c := w.calls("lensa")[0]; c.State != notify.Calling {
		t.Errorf("the call is %s, though the incident does not know of the answer", c.State)
	}
	w.pass(5 * time.Minute)
	if got := paths(w.hooks.take()); got != "/night" {
		t.Errorf("nobody is called any more: %q", got)
	}
	fail = false
	if a, err := w.notify.Press(t.Context(), access.Actor{}, code, false); err != nil || a.State != notify.AskSeen {
		t.Errorf("the second press: %+v, %v", a, err)
	}
	got, err := w.incidents.Get(t.Context(), w.nusa, inc.ID)
	if err != nil || len(got.Missing()) != 0 || got.Acks["lensa"].Member != w.day.Member {
		t.Errorf("missing %v, %+v, %v", got.Missing(), got.Acks["lensa"], err)
	}
}

// The link of somebody whose partner has left is no link any more.
func TestLinkOfAPartnerThatLeft(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	code := w.code(w.hooks.take()[0])
	by := partner.Shell(partner.Partner{ID: "secretariat", Kind: access.Intergovernmental, Country: "ID"})
	if _, err := w.partners.Disable(t.Context(), by, "lensa", true, "it left the partnership"); err != nil {
		t.Fatal(err)
	}
	_, err := w.notify.Press(t.Context(), access.Actor{}, code, false)
	w.wantKind("its link", err, problem.NotFound, "this link has ended")
	if got, err := w.incidents.Get(t.Context(), w.nusa, inc.ID); err != nil || len(got.Acks) != 1 {
		t.Errorf("acknowledged by %v, %v", got.Acks, err)
	}
}

// Where the lead has left, its clocks call those who may hand the lead on.
func TestClocksWithoutALead(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 14, 41, 0, 0, time.UTC)
	inc := incident.Incident{ID: "IDN-2026-0007", Activations: map[string]protocol.Activation{"sea-crp": {
		Protocol: "sea-crp", Round: 1, State: protocol.Active, Lead: "secretariat",
		Partners: []protocol.Participant{{ID: "secretariat", Kind: access.Intergovernmental}, {ID: "nusa", Kind: access.Government}, {ID: "lensa", Kind: access.Platform}},
		Clocks: []protocol.ClockState{{ID: "first_update", By: protocol.Who{Role: protocol.TheLead}, MetBy: protocol.ByUpdate, Period: 1, Started: start, Due: start.Add(30 * time.Minute),
			Escalate: []protocol.Escalated{{At: start.Add(25 * time.Minute), To: protocol.ToNextOnRoster, Done: true}}}},
	}}}
	inc.Status.Phase = protocol.Open
	for left, want := range map[bool]string{false: "secretariat", true: "lensa, nusa"} {
		var called []string
		for _, c := range notify.Wanted(inc, []partner.Partner{{ID: "secretariat", Disabled: left}, {ID: "nusa"}, {ID: "lensa"}}, start.Add(26*time.Minute)) {
			called = append(called, c.Partner)
		}
		if got := sortedList(called); got != want {
			t.Errorf("the lead has left: %t: called %q, want %q", left, got, want)
		}
	}
}

// A channel that hangs keeps no other from being tested, nor does one that is
// removed meanwhile; and a test whose time is over says nothing of a channel.
func TestSelfTestReachesEveryChannel(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	gone := w.hook(w.nusa, "/gone")
	w.hooks.mu.Lock()
	w.hooks.hang["/chief"] = true
	w.hooks.mu.Unlock()
	if err := w.log.Update(t.Context(), func(tx *journal.Tx) error { return tx.DeletePrivate(notify.KindChannel, gone.ID) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := w.notify.SelfTest(ctx, struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a test that was cut off: %v", err)
	}
	rows, err := w.notify.Rows(t.Context(), w.chief)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	for _, r := range rows {
		state[r.Name] = r.State()
	}
	if state["day"] != "works" || state["night"] != "works" || state["chief"] != "untested" {
		t.Errorf("%v", state)
	}
}

// A threat to life calls the governments that may see it, besides whoever says
// so; at the notice, and when an assessment says it. Seen is told to the room.
func TestThreatToLifeCallsGovernments(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	guard := w.person("garda", "guard", "en", access.Officer)
	w.hook(guard, "/guard")
	w.hook(w.nusa, "/ani")
	exercise := false
	notice := incident.Notice{Title: "Attack", Description: "A stream of an attack.", Country: "ID", MoreExpected: incident.Truth(protocol.Yes), Exercise: &exercise}
	inc, err := w.incidents.Notify(t.Context(), w.nusa, notice)
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	said := func() map[string]string {
		out := map[string]string{}
		for _, m := range w.hooks.take() {
			out[m.Path] = m.Text
		}
		return out
	}
	got := said()
	if len(got) != 2 || !strings.HasPrefix(got["/guard"], "SIAGA "+inc.ID+": threat to life. Confirm by 14:40 UTC") || !strings.Contains(got["/day"], "is new") {
		t.Fatalf("at the notice: %v", got)
	}
	// Seen in the room ends the call; the platform is called on.
	if inc, err = w.incidents.Acknowledge(t.Context(), guard, inc.ID); err != nil || len(inc.Missing()) != 1 {
		t.Fatalf("missing %v, %v", inc.Missing(), err)
	}
	w.settle()
	if c := w.calls("garda"); len(c) != 1 || c[0].Ask != notify.AskThreat || c[0].State != notify.Ended {
		t.Errorf("%+v", c)
	}
	// A graver answer asks anew, also whoever has seen the incident.
	w.now = w.now.Add(time.Minute)
	if _, err = w.incidents.Assess(t.Context(), w.day, inc.ID, "", []incident.Answer{{Criterion: "threat_to_life", Answer: "high_specific", Evidence: "names a place"}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	got = said()
	if len(got) != 2 || !strings.Contains(got["/guard"], "threat to life") || !strings.Contains(got["/ani"], "threat to life") {
		t.Fatalf("at the assessment: %v", got)
	}
	inc, err = w.incidents.Get(t.Context(), guard, inc.ID)
	if a, waits := inc.Waiting("garda"); err != nil || !waits || !a.Threat || !a.Due.Equal(w.now.UTC().Truncate(time.Millisecond).Add(incident.ThreatDue)) {
		t.Errorf("%+v, %v", a, err)
	}
	w.pass(5 * time.Minute)
	w.hooks.take()
	if a, err := w.notify.Press(t.Context(), access.Actor{}, linkForm.FindStringSubmatch(got["/guard"])[1], false); err != nil || a.State != notify.AskSeen {
		t.Errorf("%+v, %v", a, err)
	}
	inc, err = w.incidents.Get(t.Context(), guard, inc.ID)
	if _, waits := inc.Waiting("garda"); err != nil || waits {
		t.Errorf("it waits still, %v", err)
	}
	if a, waits := inc.Waiting("nusa"); !waits || !a.Threat {
		t.Errorf("another government's answer counts: %+v", a)
	}
}
