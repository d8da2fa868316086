package notify_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/web"
)

// An update that the lead owes: before its time the lead is called, after it
// those whom the escalation names, with a deadline that is still ahead.
func TestOverdueClockIsTold(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 14, 41, 0, 0, time.UTC)
	inc := func(done int) incident.Incident {
		steps := []protocol.Escalated{{At: start.Add(25 * time.Minute), To: protocol.ToNextOnRoster}, {At: start.Add(35 * time.Minute), To: protocol.ToAuthority}}
		for i := range steps {
			steps[i].Done = i < done
		}
		i := incident.Incident{ID: "IDN-2026-0007", Activations: map[string]protocol.Activation{"sea-crp": {
			Protocol: "sea-crp", Round: 1, State: protocol.Active, Lead: "secretariat",
			Partners: []protocol.Participant{{ID: "secretariat", Kind: access.Intergovernmental}, {ID: "nusa", Kind: access.Government}, {ID: "warga", Kind: access.CivilSociety}},
			Clocks: []protocol.ClockState{{
				ID: "first_update", By: protocol.Who{Role: protocol.TheLead}, MetBy: protocol.ByUpdate, Period: 1, Started: start, Due: start.Add(30 * time.Minute), Escalate: steps,
			}},
		}}}
		i.Status.Phase = protocol.Open
		return i
	}
	for _, c := range []struct {
		name   string
		done   int
		after  time.Duration
		called string
	}{
		{"before any step", 0, 24 * time.Minute, ""},
		{"soon due", 1, 26 * time.Minute, "secretariat due"},
		{"overdue", 2, 36 * time.Minute, "nusa overdue, secretariat overdue"},
	} {
		now := start.Add(c.after)
		var called []string
		for _, call := range notify.Wanted(inc(c.done), nil, now) {
			called = append(called, call.Partner+" "+call.Ask)
			if !call.Deadline.After(now) {
				t.Errorf("%s: the call of %s is over before it begins: %s", c.name, call.Partner, call.Deadline)
			}
			if call.Due != protocol.ByUpdate {
				t.Errorf("%s: it does not say what is waited for: %q", c.name, call.Due)
			}
		}
		if got := sortedList(called); got != c.called {
			t.Errorf("%s: called %q, want %q", c.name, got, c.called)
		}
	}
}

func sortedList(list []string) string {
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// Each ask has its own sentence, of an exercise too, which says first that it
// is one, and its number without the mark.
func TestSentences(t *testing.T) {
	t.Parallel()
	words, err := web.Speaker()
	if err != nil {
		t.Fatal(err)
	}
	jakarta := time.FixedZone("WIB", 7*3600)
	for _, c := range []struct {
		lang, ask string
		exercise  bool
		want      string
	}{
		{"en", notify.AskNotified, false, "SIAGA IDN-2026-0007 is new. Confirm by 15:05 UTC (22:05) or the next person is called."},
		{"en", notify.AskVote, true, "EXERCISE SIAGA 2026-0012: your vote is needed by 15:05 UTC (22:05)."},
		{"en", notify.AskActive, true, "EXERCISE SIAGA 2026-0012: practice. Confirm by 15:05 UTC (22:05)."},
		{"en", notify.AskOverdue, false, "SIAGA IDN-2026-0007: an answer is overdue. Confirm by 15:05 UTC (22:05)."},
		{"id", notify.AskOverdue, true, "LATIHAN SIAGA 2026-0012: jawaban terlambat. Konfirmasi sebelum 15:05 UTC (22:05)."},
		{"id", notify.AskDue, false, "SIAGA IDN-2026-0007: jawaban ditunggu sebelum 15:05 UTC (22:05)."},
	} {
		call := notify.Call{Incident: "IDN-2026-0007", Ask: c.ask, Exercise: c.exercise, Deadline: time.Date(2026, 3, 2, 15, 5, 0, 0, time.UTC)}
		if c.exercise {
			call.Incident = "EX-2026-0012"
		}
		if got := notify.Sentence(words, c.lang, call, jakarta); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.lang, c.ask, got, c.want)
		}
	}
}
