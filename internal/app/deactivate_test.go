package app_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// endsWithin is how long an edge's open feed may outlive the right to it.
const endsWithin = time.Second

// An edge's open feed ends within a second after its token was revoked or the
// member who made it was disabled with its edges, also when the operator's shell
// did it beside the node; another edge's goes on, and a new request is refused.
func TestDeactivationEndsTheFeed(t *testing.T) {
	dir := folder(t)
	n := start(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	var p partner.Partner
	err := n.Log.View(ctx, func(r journal.StoreReader) error {
		all, err := partner.All(r)
		p = all[0]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	shell := partner.Shell(p)
	m, _, err := n.Partners.AddMember(ctx, shell, partner.NewMember{Partner: p.ID, Name: "Bima", Email: "bima@nusa.example", Roles: []access.Role{access.Administrator}})
	if err != nil {
		t.Fatal(err)
	}
	bima := access.Actor{Partner: p.ID, Kind: p.Kind, Country: p.Country, Member: m.ID, Roles: m.Roles, StepUp: time.Now(), For: access.AnyAction}
	token := func(by access.Actor, name string) (partner.Token, string) {
		t.Helper()
		tok, text, err := n.Partners.CreateToken(ctx, by, partner.NewToken{Name: name, Roles: []access.Role{access.Edge}})
		if err != nil {
			t.Fatal(err)
		}
		return tok, text
	}
	get := func(text string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/api/v1/feed?nonce=n", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+text)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	// follow opens a feed and says when it ended.
	follow := func(text string) <-chan time.Time {
		t.Helper()
		res := get(text)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("the feed answers %d", res.StatusCode)
		}
		end := make(chan time.Time, 1)
		go func() {
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body) // however it ends, it ends
			end <- time.Now()
		}()
		return end
	}
	_, spared := token(shell, "spared")
	other := follow(spared)
	for _, c := range []struct {
		name string
		by   access.Actor
		end  func(tok partner.Token) error
	}{
		{"its token is revoked", shell, func(tok partner.Token) error { _, err := n.Partners.RevokeToken(ctx, shell, tok.ID); return err }},
		{"the shell revokes it beside the node", shell, func(tok partner.Token) error {
			s, _, done, err := app.OpenPartners(ctx, dir, "")
			if err != nil {
				return err
			}
			defer func() { _ = done() }() // what it wrote is written
			_, err = s.RevokeToken(ctx, shell, tok.ID)
			return err
		}},
		{"its maker is disabled with the edges", bima, func(partner.Token) error {
			_, err := n.Partners.ChangeMember(ctx, shell, m.ID, partner.Change{Disable: true, Edges: true})
			return err
		}},
	} {
		tok, text := token(c.by, "edge-"+tokenName(c.name))
		end := follow(text)
		if err := c.end(tok); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		began := time.Now()
		select {
		case at := <-end:
			t.Logf("%s: the feed ended after %s", c.name, at.Sub(began).Round(time.Millisecond))
			if at.Sub(began) > endsWithin {
				t.Errorf("%s: the feed ended after %s, want at most %s", c.name, at.Sub(began), endsWithin)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the feed went on", c.name)
		}
		res := get(text)
		if _ = res.Body.Close(); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: a new request is answered %d", c.name, res.StatusCode)
		}
		if _, _, err := n.Partners.ByToken(ctx, text); problem.KindOf(err) != problem.SignIn {
			t.Errorf("%s: the token still stands for somebody: %v", c.name, err)
		}
	}
	select {
	case <-other:
		t.Error("another edge's feed ended too")
	default:
	}
}

func tokenName(s string) string {
	out := []byte(s)
	for i, b := range out {
		if b < 'a' || b > 'z' {
			out[i] = '-'
		}
	}
	return string(out)
}
