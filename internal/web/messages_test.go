package web

import (
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/notify"
)

// TestMessagesAreShort measures every message in every language, with a long
// number, a full link and a check word: one short message of 160 characters, or
// where the script needs UCS-2, parts of 67, of which there are three at most.
func TestMessagesAreShort(t *testing.T) {
	say, err := Speaker()
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	const link = " https://nusa.example/a/7KQ2M9XF4T1ZC"
	catalogue, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range catalogue.tags {
		lang := tag.String()
		for _, ask := range []string{notify.AskVote, notify.AskActive, notify.AskNotified, notify.AskDue, notify.AskOverdue, notify.AskThreat} {
			for _, exercise := range []bool{false, true} {
				c := notify.Call{Incident: "IDN-2026-0007", Ask: ask, Exercise: exercise, Deadline: time.Date(2026, 3, 2, 14, 52, 0, 0, time.UTC)}
				if exercise {
					c.Incident = "EX-2026-0012"
				}
				sentence := notify.Sentence(say, lang, c, zone)
				text := sentence + link
				parts, length, gsm := notify.Parts(text)
				if gsm && parts != 1 || !gsm && parts > 3 {
					t.Errorf("%s %s: %d characters in %d messages: %s", lang, ask, length, parts, text)
				}
				for _, must := range []string{"14:52 UTC", "21:52", "SIAGA"} {
					if !strings.Contains(text, must) {
						t.Errorf("%s %s: no %s in %q", lang, ask, must, text)
					}
				}
				first := strings.Fields(text)[0]
				if exercise && (first == "SIAGA" || !strings.Contains(text, "2026-0012")) || !exercise && !strings.HasPrefix(text, "SIAGA IDN-2026-0007") {
					t.Errorf("%s %s: begins with %q: %s", lang, ask, first, text)
				}
			}
		}
		if text := say(lang, "msg.test"); strings.Contains(text, "⟦") {
			t.Errorf("%s: no text of a test", lang)
		}
	}
	// The English ones are those that were agreed.
	c := notify.Call{Incident: "IDN-2026-0007", Ask: notify.AskVote, Deadline: time.Date(2026, 3, 2, 14, 41, 0, 0, time.UTC)}
	if got, want := notify.Sentence(say, "en", c, zone)+link, "SIAGA IDN-2026-0007: your vote is needed by 14:41 UTC (21:41). https://nusa.example/a/7KQ2M9XF4T1ZC"; got != want || len(got) != 99 {
		t.Errorf("got %q (%d), want %q", got, len(got), want)
	}
	c.Ask = notify.AskActive
	if got, want := notify.Sentence(say, "en", c, zone), "SIAGA IDN-2026-0007 is ACTIVE. Confirm by 14:41 UTC (21:41) or the next person is called."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Exercise, c.Incident = true, "EX-2026-0012"
	if got, want := notify.Sentence(say, "en", c, zone), "EXERCISE SIAGA 2026-0012: practice. Confirm by 14:41 UTC (21:41)."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
