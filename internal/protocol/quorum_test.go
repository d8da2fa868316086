package protocol_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func vote(who access.Actor, v protocol.VoteValue) protocol.Vote {
	return protocol.Vote{Partner: who.Partner, Kind: who.Kind, Member: who.Member, Vote: v}
}

// TestTally counts votes that no engine would have let in, too: of observers,
// and of two members of one partner.
func TestTally(t *testing.T) {
	d := lookup(t, "sea-crp")
	second := gema
	second.Member = "gema-second"
	for _, c := range []struct {
		name  string
		votes []protocol.Vote
		want  protocol.Tally
	}{
		{"one of each", []protocol.Vote{vote(nusa, "yes"), vote(gema, "yes")}, protocol.Tally{Yes: 2, Quorum: 2, Reached: true}},
		{"nobody", nil, protocol.Tally{Quorum: 2, Missing: []protocol.Need{
			{What: protocol.NeedPartners, Count: 2},
			{What: protocol.NeedKind, Count: 1, Kind: access.Government},
			{What: protocol.NeedKind, Count: 1, Kind: access.Platform},
			{What: protocol.NeedOtherPartner, Count: 1},
			{What: protocol.NeedNonGovernment, Count: 1},
			{What: protocol.NeedTwoKinds, Count: 1},
		}}},
		{"two people of one partner", []protocol.Vote{vote(nusa, "no"), vote(gema, "yes"), vote(second, "yes")}, protocol.Tally{Yes: 1, No: 1, Quorum: 2, Missing: []protocol.Need{
			{What: protocol.NeedPartners, Count: 1},
			{What: protocol.NeedKind, Count: 1, Kind: access.Government},
			{What: protocol.NeedTwoKinds, Count: 1},
		}}},
		{"an observer", []protocol.Vote{vote(nusa, "yes"), vote(amanah, "yes"), vote(gema, "abstain")}, protocol.Tally{Yes: 1, Abstain: 1, Quorum: 2, Missing: []protocol.Need{
			{What: protocol.NeedPartners, Count: 1},
			{What: protocol.NeedKind, Count: 1, Kind: access.Platform},
			{What: protocol.NeedOtherPartner, Count: 1},
			{What: protocol.NeedNonGovernment, Count: 1},
			{What: protocol.NeedTwoKinds, Count: 1},
		}}},
		{"governments alone", []protocol.Vote{vote(nusa, "yes"), vote(tasman, "yes")}, protocol.Tally{Yes: 2, Quorum: 2, Missing: []protocol.Need{
			{What: protocol.NeedKind, Count: 1, Kind: access.Platform},
			{What: protocol.NeedNonGovernment, Count: 1},
			{What: protocol.NeedTwoKinds, Count: 1},
		}}},
	} {
		a := protocol.Activation{Proposer: protocol.Participant{ID: "nusa", Kind: access.Government}, Votes: c.votes}
		if diff := cmp.Diff(c.want, a.Tally(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
