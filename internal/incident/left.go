package incident

import (
	"slices"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// dropLeft leaves the votes of partners that are deactivated out of ballots
// that are open: who cannot be trusted any more must not help to reach a
// quorum. It also notes which activations they still lead. Ballots that are decided stay as they were, and the journal keeps
// every vote. A partner that is activated again in time counts again.
func (inc *Incident) dropLeft(r journal.StoreReader) error {
	for id, a := range inc.Activations {
		if !a.State.Running() {
			continue
		}
		left, err := partner.Left(r, a.Lead)
		if err != nil {
			return err
		}
		if left {
			inc.Leaderless = append(inc.Leaderless, id)
		}
		if a.State == protocol.Voting || a.State == protocol.Provisional {
			if a.Votes, err = standing(r, a.Votes); err != nil {
				return err
			}
		}
		if a.RenewalVotes, err = standing(r, a.RenewalVotes); err != nil {
			return err
		}
		if v := a.StandDown; v != nil && a.State != protocol.StandingDown {
			open := *v
			if open.Votes, err = standing(r, open.Votes); err != nil {
				return err
			}
			a.StandDown = &open
		}
		inc.Activations[id] = a
	}
	return nil
}

// standing returns the votes without those of partners that are deactivated.
func standing(r journal.StoreReader, votes []protocol.Vote) ([]protocol.Vote, error) {
	var failed error
	out := slices.DeleteFunc(slices.Clone(votes), func(v protocol.Vote) bool {
		left, err := partner.Left(r, v.Partner)
		if err != nil {
			failed = err
		}
		return left
	})
	return out, failed
}
