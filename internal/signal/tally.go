package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Counts of matches are telemetry: they are aggregated by partner and minute
// in the store's private data, not entries of the journal, which would drown
// in them. A batch is remembered, so that one sent again is counted once.
const (
	privateTally = "tally"       // ID "minute/partner", owner: the hour
	privateBatch = "tally_batch" // ID "partner/edge/name", see countedBefore
	tallyKept    = 30 * 24 * time.Hour
	batchKept    = 48 * time.Hour
)

// Count is how often edges found one signal in one minute.
type Count struct {
	Signal   string `json:"signal"`
	Minute   int64  `json:"minute"` // Unix time of its start divided by 60
	Partner  string `json:"partner"`
	Action   Action `json:"action"`
	Pass     string `json:"pass"` // how it was found
	Exercise bool   `json:"exercise,omitempty"`
	Matches  int64  `json:"matches"`
	Few      int64  `json:"few,omitempty"` // reports of "fewer than 5", each of at least one
}

// AtLeast is the least number of matches that there were: a report of "fewer
// than 5" stands for at least one.
func (c Count) AtLeast() int64 { return c.Matches + c.Few }

// MatchCount is one count as an edge reports it.
type MatchCount struct {
	Signal   string
	Minute   int64
	Action   Action
	Pass     string
	Exercise bool
	Matches  int64
	Few      bool
}

// AddCounts adds what an edge counted, once for each batch.
func (s *Service) AddCounts(ctx context.Context, partner, edge, batch string, counts []MatchCount) error {
	now := s.o.Now()
	for _, c := range counts {
		// In minutes, as an edge may send any number: in seconds it could overflow.
		if c.Minute > now.Add(24*time.Hour).Unix()/60 || c.Minute < now.Add(-tallyKept).Unix()/60 {
			return problem.New(problem.Invalid, "a count is of a minute that is not within the last 30 days", "check the edge's clock")
		}
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		if again, err := countedBefore(tx, partner, edge, batch, now); again || err != nil {
			return err
		}
		byMinute := map[int64][]MatchCount{}
		for _, c := range counts {
			byMinute[c.Minute] = append(byMinute[c.Minute], c)
		}
		for minute, cs := range byMinute {
			id := strconv.FormatInt(minute, 10) + "/" + partner
			var have []Count
			p, err := tx.Private(privateTally, id)
			if err == nil {
				if err := json.Unmarshal(p.Doc, &have); err != nil {
					return fmt.Errorf("reading counts: %w", err)
				}
			} else if problem.KindOf(err) != problem.NotFound {
				return err
			}
			for _, c := range cs {
				i := slices.IndexFunc(have, func(h Count) bool {
					return h.Signal == c.Signal && h.Action == c.Action && h.Pass == c.Pass && h.Exercise == c.Exercise
				})
				if i < 0 {
					have = append(have, Count{Signal: c.Signal, Minute: minute, Partner: partner, Action: c.Action, Pass: c.Pass, Exercise: c.Exercise})
					i = len(have) - 1
				}
				have[i].Matches += c.Matches
				if c.Few {
					have[i].Few++
				}
			}
			doc, err := json.Marshal(have)
			if err != nil {
				return fmt.Errorf("writing counts: %w", err)
			}
			if err := tx.PutPrivate(journal.Private{Kind: privateTally, ID: id, Owner: hour(minute), Doc: doc, Expires: time.Unix(minute*60, 0).Add(tallyKept)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// hour names the hour of a minute, by which counts are found.
func hour(minute int64) string { return strconv.FormatInt(minute/60, 10) }

// Counts returns what edges counted from the given minute on, of signals that
// the actor may see. Only the newest minutes are kept at hand: a span of more
// than a day is a mistake.
func (s *Service) Counts(ctx context.Context, by access.Actor, from time.Time) ([]Count, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ReadSignals, now); err != nil {
		return nil, err
	}
	if now.Sub(from) > 24*time.Hour {
		return nil, problem.New(problem.Invalid, "counts can be asked for the last day", "ask for a shorter time")
	}
	out := []Count{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		var ps []journal.Private
		for m := from.Unix() / 60; m/60 <= now.Unix()/3600; m += 60 {
			of, err := r.Privates(privateTally, hour(m))
			if err != nil {
				return err
			}
			ps = append(ps, of...)
		}
		seen := map[string]*Signal{} // nil: not to be seen
		for _, p := range ps {
			var cs []Count
			if err := json.Unmarshal(p.Doc, &cs); err != nil {
				return fmt.Errorf("reading counts: %w", err)
			}
			for _, c := range cs {
				if c.Minute*60 < from.Unix()-60 {
					continue
				}
				sig, known := seen[c.Signal]
				if !known {
					s, err := visible(r, by, c.Signal)
					if err != nil && problem.KindOf(err) != problem.NotFound {
						return err
					}
					if err == nil {
						sig = &s
					}
					seen[c.Signal] = sig
				}
				if sig == nil {
					continue
				}
				if c.Partner != by.Partner && sig.Audience.Named() {
					s := Sum{N: c.Matches, Few: c.Few}.hide()
					c.Matches, c.Few = s.N, s.Few
				}
				out = append(out, c)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Count) int { return int(a.Minute - b.Minute) })
	return out, err
}

// CountsOf returns the counts of one incident's signals, in the manner of
// Counts.
func (s *Service) CountsOf(ctx context.Context, by access.Actor, incident string, from time.Time) ([]Count, error) {
	all, err := s.Counts(ctx, by, from)
	if err != nil {
		return nil, err
	}
	of := map[string]bool{}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindSignal, Parent: incident}, func(sig Signal, _ journal.Object) error {
			of[sig.ID] = true
			return nil
		})
	})
	return slices.DeleteFunc(all, func(c Count) bool { return !of[c.Signal] }), err
}
