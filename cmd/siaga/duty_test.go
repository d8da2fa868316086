package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
)

// The operator sees before the crisis who cannot be reached, and what becomes of
// a message.
func TestDuty(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "node")
	made, err := app.Init(t.Context(), app.InitOptions{Data: data, Partner: partner.NewPartner{Name: "Nusa", Kind: access.Government, Country: "ID"}})
	if err != nil {
		t.Fatal(err)
	}
	var status atomic.Int64
	var got atomic.Value
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			Type string `json:"type"`
		}
		_ = json.NewDecoder(r.Body).Decode(&e)
		got.Store(e.Type)
		w.WriteHeader(int(status.Load()))
	}))
	defer hook.Close()
	file := filepath.Join(dir, "siaga.yaml")
	if err := os.WriteFile(file, []byte("internal_hosts: ["+strings.TrimPrefix(hook.URL, "http://")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		c := dutyCommand()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(append(args, "--data", data, "--config", file))
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := run("show")
	if err == nil || !strings.Contains(err.Error(), "1 of 1 partners have nobody on duty who can be reached") || !strings.Contains(out, "(0 channels)") || !strings.Contains(out, "no roster") {
		t.Errorf("without a channel: %q, %v", out, err)
	}
	if _, err := run("test"); err == nil || !strings.Contains(err.Error(), "no such channel") {
		t.Errorf("without a channel: %v", err)
	}
	if _, err := run("show", "--partner", "gema"); err == nil || !strings.Contains(err.Error(), "no partner") {
		t.Errorf("another partner: %v", err)
	}

	desk, done, err := app.OpenDesk(t.Context(), app.Options{Data: data, Now: time.Now, InternalHosts: []string{strings.TrimPrefix(hook.URL, "http://")}}, "")
	if err != nil {
		t.Fatal(err)
	}
	ms, err := desk.Partners.Members(t.Context(), partner.Shell(made.Partner))
	if err != nil {
		t.Fatal(err)
	}
	by := access.Actor{Partner: made.Partner.ID, Kind: made.Partner.Kind, Country: "ID", Member: ms[0].ID, Roles: ms[0].Roles}
	if _, err := desk.Notify.Add(t.Context(), by, notify.NewChannel{Kind: notify.Webhook, Target: hook.URL + "/duty"}); err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	status.Store(204)
	if out, err = run("test", "--partner", made.Partner.ID); err != nil || !strings.HasSuffix(out, "\tworks\n") || got.Load() != "siaga.test" {
		t.Errorf("a channel that works: %q, %v, sent %v", out, err, got.Load())
	}
	if out, err = run("show", "--json"); err != nil || !strings.Contains(out, `"channels":1`) {
		t.Errorf("with a channel: %q, %v", out, err)
	}
	status.Store(401)
	if out, err = run("test"); err == nil || !strings.Contains(out, "failing: user or password is refused") || !strings.Contains(err.Error(), "1 of 1 channels do not work") {
		t.Errorf("a channel that is refused: %q, %v", out, err)
	}
}
