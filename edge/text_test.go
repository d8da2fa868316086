package edge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/text"
)

// A changed text is found near to the one that a signal names, for review; the
// same text is what it is; another is not found.
func TestTexts(t *testing.T) {
	sum := func(s string) text.Hash {
		h, err := text.Sum([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	var known, other strings.Builder
	for i := range 60 {
		fmt.Fprintf(&known, "In part %d the harbour master writes of %d ships and the weather on day %d. ", i, i*i%17, i*7%31)
		fmt.Fprintf(&other, "%d) Boil rice; add salt, %d onions & ginger -- then wait. ", i*i, i%5)
	}
	changed := strings.Replace(known.String(), "harbour", "port", 5) + "Copied by a friend."
	far := sum(changed).Distance(sum(known.String()))
	if far == 0 || far > text.MatchDistance/2 || sum(other.String()).Distance(sum(known.String())) <= text.MatchDistance {
		t.Fatalf("these texts prove nothing: %d and %d apart", far, sum(other.String()).Distance(sum(known.String())))
	}

	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	add := func(n uint64, value text.Hash, most int) {
		s := signal(n, pdq.Hash{})
		s.Kind, s.Value, s.MaxDistance = fingerprint.TLSH, value.String(), most
		w.apply(m, edge.SharedChain, edge.Add, s)
	}
	look := func(what string, h text.Hash, want string) {
		t.Helper()
		for _, way := range []string{"file", "value"} {
			var res edge.Result
			if way == "file" {
				m.Set(&res, &fingerprint.Set{TLSH: h.String()})
			} else if _, err := m.Value(&res, fingerprint.Value{Kind: fingerprint.TLSH, Text: strings.ToLower(h.String())}, 100); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range res.Matches {
				got = append(got, fmt.Sprintf("%d %s %s %d", x.Number, x.Pass, x.Action, x.Distance))
				if x.Score < 0.5 || x.Score > 1 || (x.Score == 1) != (x.Distance == 0) {
					t.Errorf("%s by %s: score %v at distance %d", what, way, x.Score, x.Distance)
				}
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("%s by %s: %q, want %q", what, way, s, want)
			}
		}
	}
	near := fmt.Sprintf("text:near review %d", far)
	add(1, sum(known.String()), 0)
	look("the same", sum(known.String()), "1 text block 0")
	look("changed", sum(changed), "1 "+near)
	look("another", sum(other.String()), "")
	add(1, sum(known.String()), far-1)
	look("changed more than the signal allows", sum(changed), "")
	add(1, sum(known.String()), 1000)
	add(2, sum(other.String()), 0)
	add(3, sum(known.String()), far)
	look("changed, two signals", sum(changed), "1 "+near+", 3 "+near)
	add(4, sum(changed), 0)
	look("equal to one and near to two", sum(changed), "4 text block 0")
	for n := range uint64(4) {
		s := signal(n+1, pdq.Hash{})
		w.apply(m, edge.SharedChain, edge.Remove, edge.Signal{Number: s.Number, ID: s.ID})
	}
	look("the same, withdrawn", sum(known.String()), "")
	look("changed, withdrawn", sum(changed), "")
}
