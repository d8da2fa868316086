package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A payment handle is personal data: whoever proposes one, no answer of the
// interface has it whole, and none has it in another form.
func TestPaymentHandlesAreMasked(t *testing.T) {
	n := newNode(t)
	const (
		entered = "GB29 NWBK 6016 1331 9268 19"
		whole   = "GB29NWBK60161331926819"
		masked  = "iban:GB…6819"
	)
	incident, _ := n.beginGroup(t, "G-77", 5)
	propose := fmt.Sprintf(`{"incident":%q,"kind":"payment","value":%q,"labels":["propaganda"],"producer":"perpetrator","action":"review","confidence":"high"}`, incident, entered)
	made := n.send(t, "lensa", http.MethodPost, "/api/v1/signals", propose)
	var sig object
	made.into(t, &sig)
	again := n.send(t, "gema", http.MethodPost, "/api/v1/signals", propose)
	if made.status != http.StatusCreated || again.status != http.StatusConflict {
		t.Fatalf("proposed: %d %s; again: %d %s", made.status, made.body, again.status, again.body)
	}
	wrong := n.send(t, "lensa", http.MethodPost, "/api/v1/signals", strings.Replace(propose, "9268 19", "9268 18", 1))
	if wrong.status != http.StatusUnprocessableEntity || !strings.Contains(string(wrong.body), "check digits") {
		t.Errorf("with a wrong digit: %d %s", wrong.status, wrong.body)
	}
	answers := map[string][]byte{"proposed": made.body, "again": again.body, "wrong": wrong.body}
	for _, path := range []string{"/signals/" + sig.ID, "/signals", "/incidents/" + incident, "/incidents/" + incident + "/timeline", "/journal?type=signal.proposed"} {
		a := n.send(t, "nusa", http.MethodGet, "/api/v1"+path, "")
		if a.status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
		answers[path] = a.body
	}
	answers["approved"] = n.send(t, "nusa", http.MethodPost, "/api/v1/signals/"+sig.ID+"/approve", `{}`).body
	for what, body := range answers {
		for _, part := range []string{whole, entered, "60161331", "6016 1331"} {
			if strings.Contains(string(body), part) {
				t.Errorf("%s shows %q", what, part)
			}
		}
	}
	for _, what := range []string{"proposed", "/signals/" + sig.ID, "/signals", "approved", "/incidents/" + incident + "/timeline"} {
		if !strings.Contains(string(answers[what]), masked) {
			t.Errorf("%s does not show %s", what, masked)
		}
	}
}
