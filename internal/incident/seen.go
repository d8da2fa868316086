package incident

import (
	"context"
	"strings"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

type seenKey struct{}

// Seen returns a context in which a change of an incident is refused with a
// Conflict if somebody decided or told something after the entry of that
// number, which the actor had read last. 0 changes nothing.
func Seen(ctx context.Context, entry int64) context.Context {
	if entry <= 0 {
		return ctx
	}
	return context.WithValue(ctx, seenKey{}, entry)
}

// mattering are the entries that change what a person decides by: votes and what
// came of them, answers, updates, hand-overs. That others have acknowledged, a
// clock rang or a task was done does not.
var mattering = func() []string {
	out := []string{"update.posted", "handover.accepted", "incident.assessed", "incident.closed", "incident.reopened"}
	for _, typ := range protocol.EventTypes() {
		if strings.HasPrefix(typ, "activation.") && typ != protocol.EvAcknowledged && typ != protocol.EvUpdated {
			out = append(out, typ)
		}
	}
	return out
}()

// Since returns the entries that matter after the given one, oldest first, as
// far as the actor may see them.
func (s *Service) Since(ctx context.Context, by access.Actor, id string, entry int64) ([]journal.Entry, error) {
	if err := access.Allow(by, access.ReadIncidents, s.o.Now()); err != nil {
		return nil, err
	}
	var out []journal.Entry
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		inc, err := visible(r, by, id)
		if err != nil {
			return err
		}
		out, err = s.since(r, by, inc.ID, entry)
		return err
	})
	return out, err
}

func (s *Service) since(r journal.StoreReader, by access.Actor, id string, entry int64) ([]journal.Entry, error) {
	q := journal.RowQuery{About: journal.Ref{Kind: KindIncident, ID: id}, Types: mattering, From: entry + 1, Limit: 200}
	var out []journal.Entry
	for {
		page, err := s.o.Log.Entries(r, q)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Audience.Sees(by) {
				out = append(out, e)
			}
			q.From = e.Number + 1
		}
		if len(page) < q.Limit {
			return out, nil
		}
	}
}

// unchanged refuses a change if somebody was faster.
func (s *Service) unchanged(ctx context.Context, tx *journal.Tx, by access.Actor, inc *Incident) error {
	seen, ok := ctx.Value(seenKey{}).(int64)
	if !ok || inc.Last.Entry <= seen {
		return nil
	}
	newer, err := s.since(tx, by, inc.ID, seen)
	if err != nil || len(newer) == 0 {
		return err
	}
	return problem.Newf(problem.Conflict, "incident %s changed while you were reading", inc.ID).WithFix("read what changed, then send again")
}
