package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/health"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A node says how each part is, to those who may know.
func TestHealth(t *testing.T) {
	dir := t.TempDir() + "/node"
	made, err := app.Init(t.Context(), app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	by := func(r access.Role) access.Actor {
		return access.Actor{Partner: made.Partner.ID, Member: "m1", Roles: []access.Role{r}}
	}
	if _, err := n.Health(ctx, by(access.Officer)); problem.KindOf(err) != problem.Denied {
		t.Fatalf("an officer reads the health: %v", err)
	}
	if _, _, err := n.Partners.CreateToken(ctx, partner.Shell(made.Partner), partner.NewToken{Partner: made.Partner.ID, Name: "upload-1", Roles: []access.Role{access.Edge}, Life: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	r, err := n.Health(ctx, by(access.Operator))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Ready || r.Store != "sqlite" || r.Entries < 2 || r.Version == "" {
		t.Errorf("%+v", r)
	}
	got := map[health.Name]health.Part{}
	for _, p := range r.Parts {
		got[p.Name] = p
	}
	for name, want := range map[health.Name]struct {
		state  health.State
		detail string
	}{
		health.Writes: {health.OK, ""}, health.EdgesSilent: {health.Warn, "silent"}, health.EdgesBehind: {health.OK, ""}, health.Jobs: {health.OK, ""}, health.Lanes: {health.OK, ""},
		health.Backup: {health.Warn, "never"}, health.Rehearsal: {health.Warn, "never"}, health.Tokens: {health.Warn, "ending"},
	} {
		if p := got[name]; p.State != want.state || p.Detail != want.detail {
			t.Errorf("%s is %s %q, want %s %q", name, p.State, p.Detail, want.state, want.detail)
		}
	}
	if p := got[health.Disk]; p.Bytes == nil || *p.Bytes <= 0 {
		t.Errorf("disk: %+v", p)
	}
	if p, ok := got[health.Certificate]; ok {
		t.Errorf("a node on http has a certificate: %+v", p)
	}
	for i := 1; i < len(r.Parts); i++ {
		if r.Parts[i-1].State == health.OK && r.Parts[i].State != health.OK {
			t.Errorf("%s stands before %s", r.Parts[i-1].Name, r.Parts[i].Name)
		}
	}
}
