package signal

import (
	"context"
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
)

// maxFound bounds what ByValue returns.
const maxFound = 50

// ByValue returns the signals that carry exactly this fingerprint, newest
// first, as far as the actor may see them. The text may be of any kind that it
// reads as. Similar fingerprints are not found: that is what matching is for.
func (s *Service) ByValue(ctx context.Context, by access.Actor, text string) ([]Signal, error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return nil, err
	}
	text = strings.TrimSpace(text)
	values := fingerprint.Guess(text)
	for _, k := range fingerprint.Kinds() {
		if v, err := fingerprint.Parse(k, text); err == nil && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	out := []Signal{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		for _, v := range values {
			err := journal.Each(r, journal.ObjectQuery{Kind: KindSignal, Unique: unique(v), Newest: true}, func(sig Signal, _ journal.Object) error {
				if len(out) == maxFound {
					return journal.ErrStop
				}
				if sig.Audience.Sees(by) {
					out = append(out, sig)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
