package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// What partners do together in an incident, over sockets: the version that was
// read, questions, drafts, a new version of a protocol, the search.
func TestTogether(t *testing.T) {
	n := newNode(t)
	var inc struct {
		ID        string `json:"id"`
		Version   int64  `json:"version"`
		Questions []struct {
			Settled bool `json:"settled"`
		} `json:"questions"`
	}
	post := func(who, path, body string, want int, header ...string) answer {
		t.Helper()
		a := n.send(t, who, http.MethodPost, path, body, header...)
		if a.status != want {
			t.Fatalf("POST %s by %s: %d, want %d: %s", path, who, a.status, want, a.body)
		}
		return a
	}
	post("lensa", "/api/v1/incidents", `{"description":"A stream of an attack","exercise":false,"country":"ID"}`, 201).into(t, &inc)
	base := "/api/v1/incidents/" + inc.ID
	old := `"` + strings.TrimSpace(string(must(json.Marshal(inc.Version)))) + `"`
	post("nusa", base+"/updates", `{"texts":{"en":"First news from Kota Seroja"}}`, 201, "If-Match", old)
	post("lensa", base+"/updates", `{"texts":{"en":"Other news"}}`, 409, "If-Match", old)
	post("lensa", base+"/updates", `{"texts":{"en":"Other news"}}`, 422, "If-Match", "yesterday")
	post("nusa", base+"/questions", `{"text":"Is it over?","to":["lensa"]}`, 201).into(t, &inc)
	post("lensa-analyst", base+"/questions/1/answers", `{"text":"Since 14:36","settles":true}`, 201).into(t, &inc)
	if len(inc.Questions) != 1 || !inc.Questions[0].Settled {
		t.Fatalf("questions %+v", inc.Questions)
	}
	if a := n.send(t, "nusa", http.MethodPut, base+"/draft", `{"texts":{"en":"Half"}}`); a.status != 200 {
		t.Fatalf("draft: %d %s", a.status, a.body)
	}
	if a := n.send(t, "lensa", http.MethodGet, base+"/draft", ""); a.status != 404 {
		t.Fatalf("another partner's draft: %d %s", a.status, a.body)
	}
	// Nothing is public by one person, and a token that is nobody's is none.
	for name, by := range map[string]access.Actor{"ayu": {Partner: "nusa", Kind: access.Government}, "sari": {Partner: "lensa", Kind: access.Platform}} {
		m, _, err := n.Partners.AddMember(t.Context(), partner.Shell(partner.Partner{ID: by.Partner, Kind: by.Kind}), partner.NewMember{Partner: by.Partner, Name: name, Email: name + "@example.org", Roles: []access.Role{access.Officer}})
		if err != nil {
			t.Fatal(err)
		}
		by.Member, by.Roles, by.StepUp, by.For = m.ID, m.Roles, time.Now().Add(time.Hour), access.AnyAction
		if _, n.tokens[name], err = n.Partners.CreateToken(t.Context(), by, partner.NewToken{Own: true, Name: name, Roles: m.Roles}); err != nil {
			t.Fatal(err)
		}
	}
	var said struct {
		Updates    []incident.Update    `json:"updates"`
		Statements []incident.Statement `json:"statements"`
	}
	const words = `{"audience":"public","texts":{"en":"Do not share it"},"reason":"people ask"}`
	post("nusa", base+"/updates", words, 403)
	post("ayu", base+"/updates", words, 201).into(t, &said)
	if last := said.Updates[len(said.Updates)-1]; last.Name == "public" || len(said.Statements) != 1 || said.Statements[0].Settled != "" {
		t.Fatalf("one person's statement: %+v %+v", said.Updates, said.Statements)
	}
	post("ayu", base+"/statements/1/confirm", "", 403)
	post("lensa", base+"/statements/1/confirm", "", 403)
	post("sari", base+"/statements/1/refuse", "{}", 403)
	post("sari", base+"/statements/1/confirm", "", 200).into(t, &said)
	if last := said.Updates[len(said.Updates)-1]; last.Name != "public" || last.By.Partner != "nusa" || last.Second.Partner != "lensa" || said.Statements[0].Settled != partner.RequestConfirmed {
		t.Fatalf("confirmed: %+v %+v", said.Updates, said.Statements)
	}
	post("ayu", base+"/updates", words, 201)
	post("ayu", base+"/statements/2/refuse", `{"reason":"too early"}`, 200).into(t, &said)
	if said.Statements[1].Settled != partner.RequestRefused {
		t.Fatalf("taken back: %+v", said.Statements)
	}
	if a := n.send(t, "nusa", http.MethodGet, base+"/matches?minutes=5", ""); a.status != 200 || !strings.Contains(string(a.body), `"items":[]`) {
		t.Fatalf("matches: %d %s", a.status, a.body)
	}

	def, err := protocol.Lookup("sea-crp")
	if err != nil {
		t.Fatal(err)
	}
	src := func(s string) string {
		return string(must(json.Marshal(map[string]string{"source": s, "reason": "shorter"})))
	}
	var check struct {
		Valid    bool `json:"valid"`
		Mistakes []struct {
			Line int    `json:"line"`
			Fix  string `json:"fix"`
		} `json:"mistakes"`
	}
	post("warga", "/api/v1/protocol-check", `{"source":"id: x\nversion: one\n"}`, 200).into(t, &check)
	if check.Valid || len(check.Mistakes) < 2 || check.Mistakes[0].Line == 0 || check.Mistakes[0].Fix == "" {
		t.Fatalf("check %+v", check)
	}
	next := strings.Replace(string(def.Source), "version: 1.0.0", "version: 1.0.1", 1)
	next = strings.Replace(next, "due: 10m", "due: 12m", 1)
	post("warga", "/api/v1/protocol-versions", src(next), 403)
	post("nusa", "/api/v1/protocol-versions", src("id: x"), 422)
	var v struct {
		Hash  string `json:"hash"`
		State string `json:"state"`
	}
	post("nusa", "/api/v1/protocol-versions", src(next), 201).into(t, &v)
	var diff struct {
		Items []protocol.Difference `json:"items"`
	}
	n.send(t, "warga", http.MethodGet, "/api/v1/protocols/sea-crp/diff?to=1.0.1", "").into(t, &diff)
	if len(diff.Items) != 2 {
		t.Fatalf("diff %+v", diff.Items)
	}
	post("gema", "/api/v1/protocol-versions/"+v.Hash+"/votes", `{"vote":"yes"}`, 200).into(t, &v)
	if v.State != "adopted" {
		t.Fatalf("after the quorum: %+v", v)
	}
	if a := n.send(t, "lensa-observer", http.MethodGet, "/api/v1/protocols", ""); !strings.Contains(string(a.body), `"version":"1.0.1"`) {
		t.Fatalf("current: %.300s", a.body)
	}

	hits := func(who, q string) string {
		a := n.send(t, who, http.MethodGet, "/api/v1/search?q="+q, "")
		if a.status != 200 {
			t.Fatalf("search by %s: %d %s", who, a.status, a.body)
		}
		return string(a.body)
	}
	if got := hits("gema", "seroja"); !strings.Contains(got, inc.ID+"#1") {
		t.Errorf("an update is not found: %s", got)
	}
	if got := hits("warga", "seroja"); strings.Contains(got, inc.ID) {
		t.Errorf("an observer finds what it may not see: %s", got)
	}
	if got := hits("warga", "lensa"); !strings.Contains(got, `"kind":"partner"`) {
		t.Errorf("a partner is not found: %s", got)
	}
	// A payment handle must not stand in an address; sent as content it is found.
	made := post("lensa", "/api/v1/signals", `{"incident":"`+inc.ID+`","kind":"payment","value":"GB29 NWBK 6016 1331 9268 19","producer":"perpetrator","action":"review","labels":["propaganda"]}`, 201)
	for _, path := range []string{"/api/v1/search", "/api/v1/signals", "/api/v1/incidents", "/api/v1/incidents/" + inc.ID + "/timeline"} {
		for _, q := range []string{"GB29NWBK60161331926819", "GB29NWBK60161331926818"} {
			a := n.send(t, "gema", http.MethodGet, path+"?q="+q, "")
			if a.status != 422 || !strings.Contains(string(a.body), "POST /api/v1/search") || strings.Contains(string(a.body), "NWBK") {
				t.Errorf("%s with a handle: %d %s", path, a.status, a.body)
			}
		}
	}
	if got := string(post("gema", "/api/v1/search", `{"q":"GB29NWBK60161331926819"}`, 200).body); !strings.Contains(got, `"kind":"signal"`) || strings.Contains(got, "NWBK") {
		t.Errorf("a handle sent as content: %s, of %s", got, made.body)
	}
	value := strings.Repeat("0f1e2d3c4b5a6978", 4)
	post("lensa", "/api/v1/signals", `{"incident":"`+inc.ID+`","kind":"pdq","value":"`+value+`","producer":"perpetrator","labels":["propaganda"],"provenance":{"quality":90}}`, 201)
	if got := hits("gema", value); !strings.Contains(got, `"kind":"signal"`) {
		t.Errorf("a fingerprint is not found by its value: %s", got)
	}
	if got := hits("gema", value[:20]); strings.Contains(got, `"kind":"signal"`) {
		t.Errorf("a part of a fingerprint is found: %s", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
