package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// What is asked of someone is listed by their roles, whatever their token may
// do, until it is done; and the journal is read as its pages show it.
func TestAsksAndJournal(t *testing.T) {
	n := newNode(t)
	kinds := func(who string) string {
		t.Helper()
		var l struct {
			Items []struct {
				Kind, Incident, Protocol, Object, By string
			}
		}
		n.send(t, who, http.MethodGet, "/api/v1/asks", "").into(t, &l)
		var out []string
		for _, a := range l.Items {
			k := a.Kind
			for _, of := range []string{a.Protocol, a.Object} {
				if of != "" {
					k += ":" + of
				}
			}
			out = append(out, k)
		}
		return strings.Join(out, " ")
	}
	post := func(who, path, body string) (o object) {
		t.Helper()
		a := n.send(t, who, http.MethodPost, "/api/v1"+path, body)
		if a.status >= 300 {
			t.Fatalf("POST %s by %s: %d %s", path, who, a.status, a.body)
		}
		a.into(t, &o)
		return o
	}
	inc := post("lensa", "/incidents", notice).ID
	if got := kinds("nusa"); got != "acknowledge assess" {
		t.Errorf("of nusa is asked %q", got)
	}
	if got := kinds("lensa-observer"); got != "" { // its partner notified, and it may not assess
		t.Errorf("of an observer is asked %q", got)
	}
	post("nusa", "/incidents/"+inc+"/acknowledgements", "")
	post("nusa", "/incidents/"+inc+"/assessment", answers)
	if got := kinds("nusa"); got != "activate" {
		t.Errorf("after acknowledgement and assessment, of nusa is asked %q", got)
	}
	post("nusa", "/incidents/"+inc+"/activations", `{"protocol":"sea-crp","level":"crisis","reason":"live"}`)
	post("nusa", "/incidents/"+inc+"/questions", `{"text":"Is it over?","to":["gema"]}`)
	sig := post("lensa", "/signals", proposal(inc, 1)).ID
	if got := kinds("gema"); !strings.HasPrefix(got, "vote:sea-crp ") || !strings.Contains(got, " answer") || !strings.Contains(got, "approve_signal:"+sig) {
		t.Errorf("of gema is asked %q, want the vote first", got)
	}
	if got := kinds("nusa"); strings.Contains(got, "vote") || !strings.Contains(got, "approve_signal:"+sig) {
		t.Errorf("of nusa, which has voted, is asked %q", got)
	}
	if got := kinds("lensa"); strings.Contains(got, "approve_signal") {
		t.Errorf("the proposer is asked to approve: %q", got)
	}

	// The journal, page by page: every entry that one may see, once.
	read := func(who string) (types, ids map[string]bool) {
		types, ids = map[string]bool{}, map[string]bool{}
		path := "/api/v1/journal?limit=3"
		for next := "-"; next != ""; {
			var l struct {
				Items []struct {
					Number int64
					Type   string
				}
				Next string
			}
			n.send(t, who, http.MethodGet, path, "").into(t, &l)
			for _, e := range l.Items {
				key := strconv.FormatInt(e.Number, 10)
				if ids[key] {
					t.Errorf("%s: entry %d is listed twice", who, e.Number)
				}
				types[e.Type], ids[key] = true, true
			}
			next = l.Next
			path = "/api/v1/journal?limit=3&cursor=" + next
		}
		return types, ids
	}
	types, ids := read("lensa")
	if !types["incident.notified"] || !types["signal.proposed"] || !types["partner.added"] || len(ids) < 8 {
		t.Errorf("lensa's journal has %d entries: %v", len(ids), types)
	}
	secret := post("lensa", "/incidents", strings.Replace(notice, "{", `{"tlp":"red","partners":["lensa"],`, 1)).ID
	if _, more := read("lensa"); len(more) <= len(ids) {
		t.Errorf("lensa's journal did not grow: %d and %d", len(ids), len(more))
	}
	var l struct {
		Items []struct {
			Number     int64
			Commitment string
			About      []struct{ ID string }
		}
	}
	n.send(t, "lensa", http.MethodGet, "/api/v1/journal?type=incident.notified&partner=lensa", "").into(t, &l)
	if len(l.Items) != 2 || l.Items[0].About[0].ID != secret {
		t.Fatalf("notices of lensa: %+v", l.Items)
	}
	path := "/api/v1/journal/" + strconv.FormatInt(l.Items[0].Number, 10)
	if a := n.send(t, "lensa", http.MethodGet, path, ""); a.status != http.StatusOK || !strings.Contains(string(a.body), `"commitment":"`) {
		t.Errorf("its own entry: %d %s", a.status, a.body)
	}
	a, none := n.send(t, "nusa", http.MethodGet, path, ""), n.send(t, "nusa", http.MethodGet, "/api/v1/journal/99999", "")
	if a.status != http.StatusNotFound || string(a.body) != string(none.body) {
		t.Errorf("an entry for another: %d %s; one that is not there: %s", a.status, a.body, none.body)
	}
	n.send(t, "nusa", http.MethodGet, "/api/v1/journal?type=incident.notified", "").into(t, &l)
	if len(l.Items) != 1 {
		t.Errorf("nusa sees %d notices, want 1", len(l.Items))
	}
}

// What an old incident asks is asked too, however many newer ones are open.
func TestAsksOfManyIncidents(t *testing.T) {
	n := newNode(t)
	for i := range 230 {
		a := n.send(t, "nusa", http.MethodPost, "/api/v1/incidents", fmt.Sprintf(`{"title":"Number %d","description":"A man streams an attack on a market.","where":"Kota Seroja","country":"ID","live":"no","exercise":true}`, i))
		if a.status != http.StatusCreated {
			t.Fatalf("%d: %d %s", i, a.status, a.body)
		}
	}
	var l struct {
		Items []struct{ Kind, Incident string }
	}
	n.send(t, "gema", http.MethodGet, "/api/v1/asks", "").into(t, &l)
	of := map[string]bool{}
	for _, a := range l.Items {
		of[a.Incident] = true
	}
	if len(of) != 230 {
		t.Errorf("asked of %d incidents, want 230", len(of))
	}
}
