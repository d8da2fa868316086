package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
)

type group struct {
	ID, State, Incident, Original string
	AskedBy                       string `json:"asked_by"`
	Signals                       []groupSignal
}

type groupSignal struct {
	ID, State, Action, Wanted, Kind, Group string
	Variant                                bool
	FoundBy                                string `json:"found_by"`
	FoundEdge                              string `json:"found_edge"`
	AtOnce                                 bool   `json:"at_once"`
	ExpiresAt                              string `json:"expires_at"`
}

type added struct {
	Group   string
	Signals []groupSignal
	Known   []string
}

// call posts and reads the answer, which must have the status.
func call[T any](t *testing.T, n *node, who, path, body string, status int) (out T) {
	t.Helper()
	a := n.send(t, who, http.MethodPost, "/api/v1"+path, body)
	if a.status != status {
		t.Fatalf("POST %s as %s: %d, want %d\n%s", path, who, a.status, status, a.body)
	}
	if status < 300 {
		a.into(t, &out)
	}
	return out
}

func (n *node) group(t *testing.T, who, id string) (g group) {
	t.Helper()
	a := n.send(t, who, http.MethodGet, "/api/v1/groups/"+id, "")
	if a.status != http.StatusOK {
		t.Fatalf("reading group %s as %s: %d %s", id, who, a.status, a.body)
	}
	a.into(t, &g)
	return g
}

// digestValue is a fingerprint whose number nobody else uses.
func digestValue(i int) string { return fmt.Sprintf(`{"kind":"sha256","value":"%064x"}`, 7_000_000+i) }

func variantOf(is ...int) string {
	var v []string
	for _, i := range is {
		v = append(v, digestValue(i))
	}
	return `{"note":"cropped and mirrored","values":[` + strings.Join(v, ",") + `]}`
}

// beginGroup makes an incident with an active protocol, and a group whose
// original blocks.
func (n *node) beginGroup(t *testing.T, name string, value int) (incident, original string) {
	t.Helper()
	inc := n.must(t, "lensa", "/incidents", notice, http.StatusCreated)
	n.must(t, "nusa", "/incidents/"+inc.ID+"/assessment", answers, http.StatusOK)
	n.must(t, "nusa", "/incidents/"+inc.ID+"/activations", `{"protocol":"sea-crp","level":"crisis","reason":"live"}`, http.StatusCreated)
	n.must(t, "gema", "/incidents/"+inc.ID+"/activations/sea-crp/votes", `{"vote":"yes"}`, http.StatusOK)
	return inc.ID, n.original(t, inc.ID, name, value)
}

func (n *node) original(t *testing.T, incident, name string, value int) string {
	t.Helper()
	sig := n.must(t, "lensa", "/signals", fmt.Sprintf(`{"incident":%q,"kind":"sha256","value":"%064x","labels":["propaganda"],"producer":"perpetrator","action":"block","confidence":"high","group":%q}`,
		incident, 7_000_000+value, name), http.StatusCreated)
	if sig = n.must(t, "nusa", "/signals/"+sig.ID+"/approve", `{}`, http.StatusOK); sig.Action != "block" {
		t.Fatalf("the original does %s", sig.Action)
	}
	return sig.ID
}

func TestGroupsOfVariants(t *testing.T) {
	n := newNode(t)
	incident, original := n.beginGroup(t, "G-12", 0)

	// One step, and it is on the feed: for review, by the protocol's word.
	a := call[added](t, n, "gema", "/groups/G-12/variants", variantOf(1, 2), http.StatusCreated)
	if len(a.Signals) != 2 || a.Group != "G-12" {
		t.Fatalf("added %+v", a)
	}
	for _, s := range a.Signals {
		if s.State != "active" || s.Action != "review" || s.Wanted != "block" || !s.AtOnce || !s.Variant || s.FoundBy != "gema" || s.Group != "G-12" {
			t.Errorf("a variant of a platform: %+v", s)
		}
	}
	// A government's waits.
	if b := call[added](t, n, "nusa", "/groups/G-12/variants", variantOf(3), http.StatusCreated); b.Signals[0].State != "proposed" || b.Signals[0].AtOnce {
		t.Errorf("a variant of a government: %+v", b.Signals)
	}
	// What is known is named, and nothing twice.
	if c := call[added](t, n, "gema", "/groups/G-12/variants", variantOf(2, 4), http.StatusCreated); len(c.Signals) != 1 || len(c.Known) != 1 || c.Known[0] != a.Signals[1].ID {
		t.Errorf("half known: %+v", c)
	}
	if p := n.send(t, "lensa", http.MethodPost, "/api/v1/groups/G-12/variants", variantOf(0, 1)); p.status != http.StatusConflict || !strings.Contains(string(p.body), original) {
		t.Errorf("all known: %d %s", p.status, p.body)
	}

	// Who found what is in the group, the original first.
	g := n.group(t, "gema", "G-12")
	if g.Incident != incident || g.Original != original || g.State != "open" || len(g.Signals) != 5 || g.Signals[0].ID != original || g.Signals[0].Variant {
		t.Errorf("%+v", g)
	}
	// The proposer's partner cannot approve its own; others approve the rest.
	g = call[group](t, n, "nusa", "/groups/G-12/approve", `{}`, http.StatusOK)
	for _, s := range g.Signals {
		want := "active"
		if s.FoundBy == "nusa" {
			want = "proposed"
		}
		if s.State != want || s.AtOnce || want == "active" && s.Action != "block" {
			t.Errorf("after Nusa's approval: %+v", s)
		}
		if want == "active" && s.ExpiresAt != g.Signals[0].ExpiresAt {
			t.Errorf("%s expires %s, the original %s", s.ID, s.ExpiresAt, g.Signals[0].ExpiresAt)
		}
	}
	g = call[group](t, n, "lensa", "/groups/G-12/approve", `{"reason":"the same video"}`, http.StatusOK)
	for _, s := range g.Signals {
		if s.State != "active" || s.Action != "block" {
			t.Errorf("after Lensa's approval: %+v", s)
		}
	}
	if p := n.send(t, "nusa", http.MethodPost, "/api/v1/groups/G-12/approve", `{}`); p.status != http.StatusConflict {
		t.Errorf("nothing waits: %d %s", p.status, p.body)
	}

	// Suspended as one, and what comes then waits.
	g = call[group](t, n, "gema", "/groups/G-12/suspend", `{"reason":"a report says it is satire","reach":"everywhere"}`, http.StatusOK)
	for _, s := range g.Signals {
		if s.State != "suspended" {
			t.Errorf("after the suspension: %+v", s)
		}
	}
	if g.State != "suspended" {
		t.Errorf("the group is %s", g.State)
	}
	if d := call[added](t, n, "gema", "/groups/G-12/variants", variantOf(5), http.StatusCreated); d.Signals[0].State != "proposed" {
		t.Errorf("a variant of a suspended group: %+v", d.Signals)
	}
	g = call[group](t, n, "nusa", "/groups/G-12/resume", `{}`, http.StatusOK)
	if g.State != "open" || g.Signals[0].State != "active" {
		t.Errorf("resumed: %+v", g)
	}

	// Withdrawn as one, for good.
	g = call[group](t, n, "nusa", "/groups/G-12/withdraw", `{"reason":"it is satire"}`, http.StatusOK)
	for _, s := range g.Signals {
		if s.State != "withdrawn" {
			t.Errorf("after the withdrawal: %+v", s)
		}
	}
	if p := n.send(t, "gema", http.MethodPost, "/api/v1/groups/G-12/variants", variantOf(6)); p.status != http.StatusConflict {
		t.Errorf("a variant of a withdrawn group: %d %s", p.status, p.body)
	}
	if p := n.send(t, "lensa", http.MethodPost, "/api/v1/signals", strings.Replace(proposal(incident, 7), `{`, `{"group":"G-12",`, 1)); p.status != http.StatusConflict {
		t.Errorf("a proposal for a withdrawn group: %d %s", p.status, p.body)
	}

	report, err := n.Log.Verify(t.Context(), journal.VerifyOptions{Feed: app.VerifyFeed()})
	if err != nil || !report.OK() {
		t.Errorf("the journal: %v, %+v", err, report)
	}
}

// More than fifty signals are suspended by one person and ended by two.
func TestLargeGroupsNeedTwoPersons(t *testing.T) {
	n := newNode(t)
	n.beginGroup(t, "big", 100)
	for i := range 2 {
		var is []int
		for j := range 30 {
			is = append(is, 200+30*i+j)
		}
		call[added](t, n, "gema", "/groups/big/variants", variantOf(is...), http.StatusCreated)
	}
	g := call[group](t, n, "nusa", "/groups/big/withdraw", `{"reason":"it is satire"}`, http.StatusOK)
	if g.State != "withdrawing" || g.AskedBy != "nusa" {
		t.Errorf("after one person: %s, asked by %q", g.State, g.AskedBy)
	}
	for _, s := range g.Signals {
		if s.State != "suspended" {
			t.Fatalf("after one person: %+v", s)
		}
	}
	if p := n.send(t, "nusa", http.MethodPost, "/api/v1/groups/big/withdraw", `{"reason":"again"}`); p.status != http.StatusForbidden || !strings.Contains(string(p.body), "second person") {
		t.Errorf("the same person: %d %s", p.status, p.body)
	}
	g = call[group](t, n, "lensa", "/groups/big/withdraw", `{"reason":"I agree"}`, http.StatusOK)
	for _, s := range g.Signals {
		if s.State != "withdrawn" {
			t.Fatalf("after two: %+v", s)
		}
	}
	if g.State != "withdrawn" || len(g.Signals) != 61 {
		t.Errorf("%s with %d signals", g.State, len(g.Signals))
	}
}

func TestWhoMayDoWhatWithGroups(t *testing.T) {
	n := newNode(t)
	incident, _ := n.beginGroup(t, "G-1", 300)
	n.original(t, incident, "open-label", 301)
	_, edgeToken, err := n.Partners.CreateToken(t.Context(), partner.Shell(partner.Partner{ID: "lensa", Kind: access.Platform}), partner.NewToken{Partner: "lensa", Name: "lensa-upload-1", Roles: []access.Role{access.Edge}})
	if err != nil {
		t.Fatal(err)
	}
	n.tokens["edge"] = edgeToken
	const get, post = http.MethodGet, http.MethodPost
	for _, c := range []struct {
		name, who, method, path, body string
		status                        int
		says                          string
	}{
		{"one that may not see it", "warga", get, "/groups/G-1", "", 404, `there is no group \"G-1\" that you may see`},
		{"one that is not there", "nusa", get, "/groups/G-9", "", 404, `there is no group \"G-9\" that you may see`},
		{"a variant of what one may not see", "warga", post, "/groups/G-1/variants", variantOf(310), 404, "there is no group"},
		{"an observer adds", "lensa-observer", post, "/groups/G-1/variants", variantOf(310), 403, "analyst, officer or reviewer"},
		{"an analyst approves", "lensa-analyst", post, "/groups/G-1/approve", `{}`, 403, "approver"},
		{"an analyst adds", "lensa-analyst", post, "/groups/G-1/variants", variantOf(310), 201, ""},
		{"an edge asks the pages' way", "edge", post, "/groups/G-1/variants", variantOf(311), 201, `"found_by":"lensa"`},
		{"an edge reads", "edge", get, "/groups/G-1", "", 403, ""},
		{"an edge by its own way", "edge", post, "/feed/variants", `{"group":"G-1","values":[` + digestValue(312) + `]}`, 201, `"found_edge":"lensa-upload-1"`},
		{"an edge without a group", "edge", post, "/feed/variants", `{"values":[` + digestValue(313) + `]}`, 404, "there is no group"},
		{"an edge with nonsense", "edge", post, "/feed/variants", `{"group":1}`, 422, "cannot be read"},
		{"a person by the edge's way", "lensa-observer", post, "/feed/variants", `{"group":"G-1","values":[` + digestValue(314) + `]}`, 403, ""},
		{"nobody by the edge's way", "", post, "/feed/variants", `{}`, 401, ""},
		{"no fingerprint", "gema", post, "/groups/G-1/variants", `{"values":[]}`, 422, "1 to 64"},
		{"wrong fingerprints", "gema", post, "/groups/G-1/variants", `{"values":[{"kind":"pdq","value":"00"},{"kind":"what","value":"x"}]}`, 422, "values[1]"},
		{"a proposal with another label", "gema", post, "/signals", strings.Replace(proposal(incident, 9), `"tlp":"amber"`, `"group":"G-1","tlp":"red","partners":["nusa"]`, 1), 422, "TLP:AMBER"},
		{"a proposal of another incident", "gema", post, "/signals", strings.Replace(proposal("", 9), `{`, `{"group":"G-1",`, 1), 422, "another incident"},
		{"a group with a strange name", "gema", post, "/signals", strings.Replace(proposal("", 9), `{`, `{"group":"a/b",`, 1), 422, "letters"},
		{"a decision that there is not", "nusa", post, "/groups/G-1/delete", `{}`, 404, ""},
		{"a withdrawal without a reason", "nusa", post, "/groups/G-1/withdraw", `{}`, 422, "reason"},
		{"a suspension at one's own platform", "gema", post, "/groups/G-1/suspend", `{"reason":"not here"}`, 200, `"mine":"suspended"`},
		{"a government has no edges", "nusa", post, "/groups/G-1/suspend", `{"reason":"not here","reach":"mine"}`, 403, "platform"},
	} {
		a := n.send(t, c.who, c.method, "/api/v1"+c.path, c.body)
		if a.status != c.status || !strings.Contains(string(a.body), c.says) || len(a.body) > 0 && !json.Valid(a.body) && a.status != 404 {
			t.Errorf("%s: %d, want %d with %q\n%s", c.name, a.status, c.status, c.says, a.body)
		}
	}
	// What the platform suspended for itself goes on elsewhere.
	for _, s := range n.group(t, "nusa", "G-1").Signals {
		if s.State != "active" {
			t.Errorf("elsewhere: %+v", s)
		}
	}
}
