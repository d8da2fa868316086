package signal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// A picture with too little detail is for review by each kind that matches what
// looks alike; a digest says all that it needs to.
func TestLittleDetailIsForReview(t *testing.T) {
	quality := 30
	for kind, weak := range map[fingerprint.Kind]bool{fingerprint.PDQ: true, fingerprint.VPDQ: true, fingerprint.Local: true, fingerprint.SHA256: false, fingerprint.TLSH: false} {
		s := signal.Signal{Fingerprint: fingerprint.Value{Kind: kind}, Provenance: signal.Provenance{Quality: &quality}}
		if got := s.Weak().String() != ""; got != weak {
			t.Errorf("%s of quality 30: weak is %t, want %t", kind, got, weak)
		}
	}
}

// A PDQ hash does not tell how flat its picture is: without the quality it is
// for review, whoever approves it, and everybody is told why.
func TestPDQWithoutQualityIsForReview(t *testing.T) {
	w := open(t)
	w.active(true)
	told := func(what string, sig signal.Signal) {
		t.Helper()
		if s := sig.Weak().String(); !strings.Contains(s, "siaga hash") || !strings.Contains(s, "50 at least") {
			t.Errorf("%s: it says %q", what, s)
		}
	}
	p := w.proposal(0)
	p.Provenance.Quality = nil
	before := w.size()
	_, err := w.s.Propose(background, w.as("lensa"), p)
	var refused *problem.Error
	if !errors.As(err, &refused) || refused.Kind != problem.Invalid || len(refused.Fields) != 1 || refused.Fields[0].Name != "provenance.quality" || !strings.Contains(refused.Fields[0].Detail, "siaga hash") {
		t.Fatalf("block without quality: %v", err)
	}
	if n := w.size(); n != before {
		t.Errorf("a refused proposal wrote %d entries", n-before)
	}
	p.Action = "" // the protocol's default for a perpetrator's content is to block
	sig := w.propose("lensa", p)
	if sig.Wanted != signal.Block {
		t.Fatalf("the default is %s", sig.Wanted)
	}
	told("proposed", sig)
	mine, err := w.s.Approve(background, w.as("gema"), sig.ID, signal.Decision{Reach: signal.Mine})
	w.ok(err)
	if got := mine.Own["gema"].Action; got != signal.Review {
		t.Errorf("at one's own platform it does %s", got)
	}
	sig, err = w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
	w.ok(err)
	told("approved", sig)
	w.active(false)
	w.active(true)
	if got := w.feed.does("warga", sig.ID); got != "review" {
		t.Errorf("approved, and its protocol active anew: an edge answers %q", got)
	}
	// With the quality it is proposed anew, and blocks.
	_, err = w.s.Withdraw(background, w.as("nusa"), sig.ID, because)
	w.ok(err)
	p.Provenance.Quality, p.Group = new(50), "G-1"
	sig = w.propose("lensa", p)
	sig, err = w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
	w.ok(err)
	if sig.Does != signal.Block || sig.Weak().String() != "" {
		t.Errorf("with quality 50 it does %s: %q", sig.Does, sig.Weak())
	}
	// A variant of what blocks is no way round.
	added, err := w.s.AddVariant(background, w.as("lensa"), "G-1", signal.VariantProposal{Values: []signal.VariantValue{{Kind: " PDQ ", Value: w.value()}, {Kind: "pdq", Value: w.value(), Quality: new(77)}}})
	w.ok(err)
	_, err = w.s.DecideGroup(background, w.as("nusa"), "G-1", signal.GroupApprove, signal.Decision{})
	w.ok(err)
	for i, want := range []signal.Action{signal.Review, signal.Block} {
		got, err := w.s.Get(background, w.as("lensa"), added.Signals[i].ID)
		w.ok(err)
		if got.State != signal.Active || got.Does != want {
			t.Errorf("variant %d is %s and does %s, want %s", i, got.State, got.Does, want)
		}
	}
	w.verify()
}

// What was approved before the quality was asked for keeps its action through
// whatever its protocols do; what still waited is for review when it is approved.
func TestSignalsFromBeforeKeepTheirAction(t *testing.T) {
	w := open(t)
	w.active(true)
	// As the release before wrote them.
	write := func(by, typ, id string, body map[string]any) {
		t.Helper()
		w.ok(w.log.Update(background, func(tx *journal.Tx) error {
			e := journal.New(typ, w.as(by), w.clock.now(), body, journal.Ref{Kind: signal.KindSignal, ID: id}, journal.Ref{Kind: "incident", ID: incidentID})
			e.Audience = access.Audience{TLP: access.Amber, Origin: "lensa"}
			if typ == "signal.proposed" {
				n, err := tx.Next(signal.KindSignal)
				if err != nil {
					return err
				}
				body["number"] = n
				e = journal.New(typ, w.as(by), w.clock.now(), body, e.About...)
				e.Audience = access.Audience{TLP: access.Amber, Origin: "lensa"}
			}
			_, err := tx.Append(e)
			return err
		}))
	}
	for i := range 2 {
		write("lensa", "signal.proposed", fmt.Sprintf("S-%04d", i+1), map[string]any{
			"incident": incidentID, "list": "crisis", "fingerprint": fingerprint.Value{Kind: fingerprint.PDQ, Text: w.value()}, "max_distance": 31,
			"labels": []string{}, "producer": "perpetrator", "wanted": "block", "confidence": "medium", "provenance": map[string]any{},
		})
	}
	write("nusa", "signal.approved", "S-0001", map[string]any{"reach": "everywhere", "kind": "government", "does": "block", "expire": w.clock.now().AddDate(0, 0, 20)})
	does := func(what, id string, want signal.Action, weak bool) {
		t.Helper()
		got, err := w.s.Get(background, w.as("nusa"), id)
		w.ok(err)
		if got.Does != want || got.Weak().String() != "" != weak {
			t.Errorf("%s: %s does %q, weak %q, want %q, weak %t", what, id, got.Does, got.Weak(), want, weak)
		}
	}
	does("as it was", "S-0001", signal.Block, false)
	size := w.size()
	w.reconsider(false)
	if n := w.size(); n != size {
		t.Errorf("reconsidering what has not changed wrote %d entries", n-size)
	}
	w.active(false)
	does("nothing active", "S-0001", signal.Review, false)
	w.active(true)
	does("active anew", "S-0001", signal.Block, false)
	_, err := w.s.Suspend(background, w.as("nusa"), "S-0001", because)
	w.ok(err)
	w.clock.pass(time.Minute)
	_, err = w.s.Resume(background, w.as("nusa"), "S-0001", signal.Decision{})
	w.ok(err)
	does("resumed", "S-0001", signal.Block, false)

	does("waiting", "S-0002", "", true)
	_, err = w.s.Approve(background, w.as("nusa"), "S-0002", signal.Decision{})
	w.ok(err)
	does("approved now", "S-0002", signal.Review, true)
	w.active(false)
	w.active(true)
	does("approved now, its protocol active anew", "S-0002", signal.Review, true)
	w.verify()
}
