package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/health"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// Operations of the feed that are damaged in the database are named, hold up no
// other chain, and are made again from the journal, byte by byte; what cannot
// be proved to be the one that was there is left and said.
func TestDamagedFeedIsMendedFromTheJournal(t *testing.T) {
	r := newRealm(t, nil, nil, "")
	incident := r.incident()
	for i := range 4 {
		sig := r.post("lensa", "/signals", fmt.Sprintf(`{"incident":%q,"kind":"sha256","value":"%064x","labels":["propaganda"],"producer":"perpetrator","action":"block","confidence":"high"}`, incident, i+1))
		r.post("nusa", "/signals/"+sig.ID+"/approve", `{}`)
		r.post("gema", "/signals/"+sig.ID+"/suspend", `{"reason":"we look at it","reach":"mine"}`)
		if i%2 == 0 {
			r.post("gema", "/signals/"+sig.ID+"/resume", `{"reason":"it is right","reach":"mine"}`)
			r.post("nusa", "/signals/"+sig.ID+"/withdraw", `{"reason":"it was a mistake"}`)
		}
	}
	shell := partner.Shell(partner.Partner{ID: "lensa", Kind: access.Platform, Country: "ID"})
	_, token, err := r.node.Partners.CreateToken(t.Context(), shell, partner.NewToken{Partner: "lensa", Name: "lensa-1", Roles: []access.Role{access.Edge}})
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	stored := func(change func(tx journal.StoreTx) error) (out []journal.FeedRow) {
		t.Helper()
		db, err := sqlite.Open(t.Context(), filepath.Join(r.data, "siaga.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // closed cleanly or the next open fails
		err = db.Update(t.Context(), func(tx journal.StoreTx) error {
			out = nil
			if err := change(tx); err != nil {
				return err
			}
			return tx.ScanFeed(func(f *journal.FeedRow) error {
				c := *f
				c.Op = bytes.Clone(f.Op)
				out = append(out, c)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	damage := func(rows ...journal.FeedRow) {
		stored(func(tx journal.StoreTx) error {
			for _, row := range rows {
				if err := tx.MendFeed(row); err != nil {
					return err
				}
			}
			return nil
		})
	}
	whole := stored(func(journal.StoreTx) error { return nil })
	if len(whole) < 14 || whole[0].Chain == whole[len(whole)-1].Chain {
		t.Fatalf("%d operations", len(whole))
	}
	if n, err := app.Rebuild(t.Context(), r.data, ""); n != 0 || err != nil {
		t.Fatalf("a whole one: %d changed, %v", n, err)
	}
	// All operations, each at another place.
	var bad []journal.FeedRow
	for i, row := range whole {
		row.Op = bytes.Clone(row.Op)
		row.Op[len(row.Op)*(i%10)/10] ^= 4
		bad = append(bad, row)
	}
	half := func(odd int) (out []journal.FeedRow) {
		for i, row := range bad {
			if i%2 == odd {
				out = append(out, row)
			}
		}
		return out
	}
	moved := whole[2]
	moved.Entry++
	for name, rows := range map[string][]journal.FeedRow{"each second": half(0), "the others": half(1), "all": bad, "of another entry": {moved}} {
		damage(rows...)
		n, err := app.Rebuild(t.Context(), r.data, "")
		if int(n) != len(rows) || err != nil {
			t.Errorf("%s: %d of %d mended, %v", name, n, len(rows), err)
		}
		if d := cmp.Diff(whole, stored(func(journal.StoreTx) error { return nil })); d != "" {
			t.Fatalf("%s: %s", name, d)
		}
	}
	// One of the shared chain is overwritten; another chain is whole.
	lost := whole[1]
	for _, row := range whole {
		if row.Chain == "partners" {
			lost = row // the last: nothing proves what it was
		}
	}
	garbage := lost
	garbage.Op = []byte("not what it was")
	damage(garbage, bad[0])
	if n, err := app.Rebuild(t.Context(), r.data, ""); n != 1 || problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("operation %d of chain partners", lost.Seq)) {
		t.Errorf("what cannot be proved: %d, %v", n, err)
	}
	node := start(t, r.data)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended: %v", err)
		}
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.URL+"/api/v1/feed/snapshot", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body.String(), "siaga log rebuild") {
		t.Errorf("a snapshot of a damaged chain: %d %s %v", resp.StatusCode, body.String(), err)
	}
	h, err := node.Health(t.Context(), access.Actor{Partner: "nusa", Kind: access.Government, Member: "m1", Roles: []access.Role{access.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Parts {
		if p.Name == health.Feed && (p.State != health.Fail || p.Detail != "damaged" || *p.Count != 1) {
			t.Errorf("the feed's health: %+v", p)
		}
	}
	if d := node.Hub.Damaged(); len(d) != 1 || d[0] != "partners" {
		t.Errorf("damaged: %v", d)
	}
}
