package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Metrics are for those who may read the node's health, are well formed, and
// name nobody.
func TestMetrics(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir() + "/node"
	made, err := app.Init(ctx, app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	token := func(role access.Role) string {
		_, text, err := n.Partners.CreateToken(ctx, partner.Shell(made.Partner), partner.NewToken{Partner: made.Partner.ID, Name: "kelabu-7", Roles: []access.Role{role}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	get := func(auth string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	edge := token(access.Edge)
	for auth, want := range map[string]int{
		"": 401, "Bearer siaga_nonsense": 401, "Bearer " + edge: 403, "Bearer " + token(access.Officer): 403, "Bearer " + token(access.Operator): 200,
	} {
		if got, body := get(auth); got != want {
			t.Errorf("%.20s: %d, want %d: %s", auth, got, want, body)
		}
	}
	_, text := get("Bearer " + token(access.Operator))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	for _, name := range []string{
		"siaga_build_info", "siaga_journal_entries", "siaga_journal_unsigned_entries", "siaga_journal_update_seconds_count", "siaga_store_up 1", "siaga_store_free_bytes",
		`siaga_feed_edges{state="silent"}`, "siaga_feed_streams", "siaga_feed_behind_operations", `siaga_http_requests_total{lane="probe",status="4xx"}`,
		`siaga_http_waiting{lane="statistics"}`, "process_open_fds", "go_goroutines",
	} {
		if !strings.Contains(text, name) {
			t.Errorf("no %s", name)
		}
	}
	// What the page Health says, metrics say: an alert can be made of each part.
	report, err := n.Health(ctx, access.Actor{Partner: made.Partner.ID, Member: "m1", Roles: []access.Role{access.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Parts {
		if line := fmt.Sprintf("\nsiaga_health_state{part=%q} %d\n", p.Name, p.State.Level()); !strings.Contains(text, line) {
			t.Errorf("no%s", line)
		}
	}
	for _, line := range []string{`siaga_health_state{part="writes"} 0`, `siaga_health_state{part="backup"} 2`, `siaga_health_items{part="jobs"} 0`, `siaga_health_items{part="lanes"} 0`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	for _, secret := range []string{"kelabu", made.Partner.ID, "Secretariat", edge} {
		if strings.Contains(text, secret) {
			t.Errorf("metrics name %q", secret)
		}
	}
	ours := regexp.MustCompile(`(?m)^(siaga_[a-z_]+)`)
	names := ours.FindAllString(text, -1)
	slices.Sort(names)
	if len(slices.Compact(names)) < 12 {
		t.Errorf("only %v", names)
	}
}
