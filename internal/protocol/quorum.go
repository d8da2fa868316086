package protocol

import (
	"slices"

	"github.com/siaga-crp/siaga/internal/access"
)

// Tally is how far a vote is.
type Tally struct {
	Yes     int    `json:"yes"` // partners that count
	No      int    `json:"no"`
	Abstain int    `json:"abstain"`
	Quorum  int    `json:"quorum"`  // partners that must say yes
	Reached bool   `json:"reached"` // nothing is missing
	Missing []Need `json:"missing"` // what is still needed, most important first
}

// Need is one thing that a vote still lacks.
type Need struct {
	What  string             `json:"what"`            // one of the Need values
	Count int                `json:"count,omitempty"` // of partners
	Kind  access.PartnerKind `json:"kind,omitempty"`  // for NeedKind
}

// What a vote may lack.
const (
	NeedPartners      = "partners"       // more partners must say yes
	NeedKind          = "kind"           // more partners of a kind must say yes
	NeedOtherPartner  = "other_partner"  // somebody else than the proposer's partner
	NeedTwoKinds      = "two_kinds"      // of a second kind, because the protocol may block
	NeedNonGovernment = "non_government" // not governments alone, because the protocol may block
)

// Count counts votes under a rule. It counts each partner once, and yes votes
// of the rule's kinds only.
func (r Rule) Count(votes []Vote) Tally {
	t := Tally{Quorum: r.Quorum}
	yes := map[string]access.PartnerKind{}
	for _, v := range votes {
		switch {
		case v.Vote == VoteNo:
			t.No++
		case v.Vote == VoteAbstain:
			t.Abstain++
		case v.Vote == VoteYes && slices.Contains(r.Kinds, v.Kind):
			yes[v.Partner] = v.Kind
		}
	}
	t.Yes = len(yes)
	if n := r.Quorum - t.Yes; n > 0 {
		t.Missing = append(t.Missing, Need{What: NeedPartners, Count: n})
	}
	for _, k := range access.PartnerKinds() {
		have := 0
		for _, kind := range yes {
			if kind == k {
				have++
			}
		}
		if n := r.AtLeast[k] - have; n > 0 {
			t.Missing = append(t.Missing, Need{What: NeedKind, Count: n, Kind: k})
		}
	}
	t.Reached = len(t.Missing) == 0
	return t
}

// countStrictly counts votes for what gives authority over content: the
// definition's rule, and what no definition can lift. The votes of proposer
// alone never suffice.
func (d *Definition) countStrictly(r Rule, votes []Vote, proposer string) Tally {
	t := r.Count(votes)
	kinds := map[access.PartnerKind]bool{}
	others, outsideGovernment := false, false
	for _, v := range votes {
		if v.Vote != VoteYes || !slices.Contains(r.Kinds, v.Kind) {
			continue
		}
		kinds[v.Kind] = true
		others = others || v.Partner != proposer
		outsideGovernment = outsideGovernment || v.Kind != access.Government
	}
	if !others {
		t.Missing = append(t.Missing, Need{What: NeedOtherPartner, Count: 1})
	}
	if d.MayBlock() {
		if !outsideGovernment {
			t.Missing = append(t.Missing, Need{What: NeedNonGovernment, Count: 1})
		}
		if len(kinds) < 2 {
			t.Missing = append(t.Missing, Need{What: NeedTwoKinds, Count: 1})
		}
	}
	t.Reached = len(t.Missing) == 0
	return t
}

// Tally counts the votes to activate.
func (a Activation) Tally(d *Definition) Tally {
	return d.countStrictly(d.Authority.Activate, a.Votes, a.Proposer.ID)
}

// RenewalTally counts the votes to renew. A renewal prolongs the authority, so
// it is counted as strictly as an activation.
func (a Activation) RenewalTally(d *Definition) Tally {
	proposer := ""
	if len(a.RenewalVotes) > 0 {
		proposer = a.RenewalVotes[0].Partner
	}
	return d.countStrictly(d.Authority.Renew, a.RenewalVotes, proposer)
}

// StandDownTally counts the votes to stand down; ok is false if none is open.
func (a Activation) StandDownTally(d *Definition) (t Tally, ok bool) {
	if a.StandDown == nil {
		return Tally{}, false
	}
	return d.Authority.StandDown.Count(a.StandDown.Votes), true
}
