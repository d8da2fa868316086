package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
)

// A variant is added from the group's page in one step, out of what siaga hash
// prints, and the group is suspended with one tap.
func TestGroupPage(t *testing.T) {
	w := newWorld(t)
	p := w.get("platform", "/groups/G-1")
	checkPage(t, "group", p)
	if main := text(p.all("main", "")[0]); !strings.Contains(main, w.signal) || !strings.Contains(main, "Original") || !strings.Contains(main, w.proposed) {
		t.Errorf("the group's page shows %s", main)
	}
	hash := "crop.jpg\n  sha256  " + strings.Repeat("ab", 32) + "\n  md5     " + strings.Repeat("cd", 16) + "\n  pdq     " + strings.Repeat("3c5a69960f1e2d4b", 4) + "  quality 91  640×480\n"
	post := func(who, path string, v url.Values) page {
		v.Set("_key", "key of "+path+v.Encode())
		return w.post(who, path, v)
	}
	p = post("platform", "/groups/G-1/variants", url.Values{"values": {hash}, "note": {"cropped"}})
	checkPage(t, "after a variant", p)
	if p.status != http.StatusOK || !strings.Contains(p.path, "sent=variant") {
		t.Fatalf("%d at %s: %s", p.status, p.path, text(p.all("main", "")[0]))
	}
	if n := len(p.all("tr", "")); n != 1+2+3 {
		t.Errorf("%d rows", n)
	}
	for _, c := range []struct{ values, want string }{
		{"", "Enter at least one fingerprint"},
		{"a.jpg\nnonsense\npdq 12", "Line 2 is not a fingerprint"},
		{"a.jpg\npdq 12", "Fingerprint 1: The PDQ fingerprint has 2 characters"},
		{"{\"sha256\":1}", "Line 1 is not a fingerprint"},
	} {
		p := post("platform", "/groups/G-1/variants", url.Values{"values": {c.values}})
		checkPage(t, "mistake", p)
		if main := text(p.all("body", "")[0]); p.status != http.StatusUnprocessableEntity || !strings.Contains(main, c.want) || !strings.Contains(p.body, "a.jpg") && strings.Contains(c.values, "a.jpg") {
			t.Errorf("%q: %d, without %q", c.values, p.status, c.want)
		}
	}
	json := `{"file":"v.mp4","bytes":1,"sha256":"` + strings.Repeat("ef", 32) + `","vpdq":[{"frame":0,"time_s":0.5,"hash":"` + strings.Repeat("3c5a69960f1e2d4b", 4) + `","quality":80}]}`
	if p := post("platform", "/groups/G-1/variants", url.Values{"values": {json}}); p.status != http.StatusOK || !strings.Contains(p.body, "vpdq") {
		t.Errorf("one line of siaga hash --json: %d", p.status)
	}

	// A variant that went out at once is asked of the others.
	if _, err := w.node.Incidents.Act(context.Background(), w.actor["platform"], w.incident, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes}); err != nil {
		t.Fatal(err)
	}
	if p := post("platform", "/groups/G-1/variants", url.Values{"values": {"sha256 " + strings.Repeat("77", 32)}}); !strings.Contains(text(p.all("main", "")[0]), "not approved yet") {
		t.Errorf("a variant of an active protocol: %s", text(p.all("main", "")[0]))
	}
	asked := w.get("officer", "/asks")
	if !strings.Contains(text(asked.all("main", "")[0]), "Approve the variants of group G-1") {
		t.Errorf("asked of the officer: %s", text(asked.all("main", "")[0]))
	}

	// Approve asks for digits; suspend is one tap and a reason.
	if p := post("officer", "/groups/G-1/approve", url.Values{"digits": {"1"}}); p.status != http.StatusUnprocessableEntity {
		t.Errorf("without the digits: %d", p.status)
	}
	digits := w.signal[len(w.signal)-4:]
	if p := post("officer", "/groups/G-1/approve", url.Values{"digits": {digits}}); p.status != http.StatusOK || strings.Contains(text(p.all("main", "")[0]), "proposed,") {
		t.Errorf("approving: %d at %s", p.status, p.path)
	}
	p = post("officer", "/groups/G-1/suspend", url.Values{"cause": {"benign"}, "reach": {"everywhere"}})
	checkPage(t, "suspended", p)
	if main := text(p.all("main", "")[0]); p.status != http.StatusOK || !strings.Contains(main, "suspended group G-1 everywhere") {
		t.Errorf("suspending: %d at %s: %s", p.status, p.path, main)
	}
	if p := w.get("observer", "/groups/G-9"); p.status != http.StatusNotFound {
		t.Errorf("a group that is not there: %d", p.status)
	}
}
