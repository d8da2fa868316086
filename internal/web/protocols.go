package web

import (
	"context"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
)

// versionAsks lists the proposed versions of protocols that wait for the vote
// of the reader's partner.
func (s *Site) versionAsks(ctx context.Context, f *Frame) ([]Ask, error) {
	if !f.Can(string(access.Vote)) {
		return nil, nil
	}
	views, err := s.o.Incidents.Protocols(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, p := range views {
		for _, v := range p.Versions {
			if !mayVoteVersion(f, v) || voted(v.Votes, f.Me.Partner) {
				continue
			}
			t := v.Tally()
			out = append(out, Ask{
				Title: f.T("ask.version", "Protocol", v.Protocol, "Version", v.Version), Due: v.Closes, Primary: true, Verb: f.T("ask.vote.do"),
				Detail: f.T("ask.version.why", "Yes", t.Yes, "Quorum", t.Quorum, "Partner", f.Name(v.By.Partner)), Href: "/protocols/" + v.Protocol + "/versions/" + v.Hash,
			})
		}
	}
	return out, nil
}

func mayVoteVersion(f *Frame, v incident.Version) bool {
	if v.State != incident.Voted || !f.Now.Before(v.Closes) || !f.Can(string(access.Vote)) {
		return false
	}
	for _, k := range v.Rule.Kinds {
		if k == f.Me.Kind {
			return true
		}
	}
	return false
}
