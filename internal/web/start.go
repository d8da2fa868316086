package web

import (
	"net/http"
	"slices"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/incident"
)

// firstStep is one of the first steps of a new node: what it is, why, and whether it
// is done.
type firstStep struct {
	ID   string // its texts are start.ID and start.ID.why
	Href string
	Done bool
}

// steps tells an administrator what a new node still lacks before a crisis,
// until all of it is done. It is nil for others, and while something real is
// open.
func (s *Site) steps(r *http.Request, f *Frame, open []incident.Incident) ([]firstStep, error) {
	if !f.Me.Has(access.Administrator) || slices.ContainsFunc(open, func(i incident.Incident) bool { return !i.Exercise }) {
		return nil, nil
	}
	ctx := r.Context()
	partners, err := s.o.Partners.List(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	members, err := s.o.Partners.Members(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	roster, err := s.o.Duty.Get(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	channels, err := s.o.Notify.Rows(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	tokens, err := s.o.Partners.Tokens(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	edges, err := s.o.Edges.EdgesFor(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	practised, _, err := s.o.Incidents.List(ctx, f.Me, incident.Query{Limit: 1})
	if err != nil {
		return nil, err
	}
	administrators := 0
	for _, m := range members {
		if !m.Disabled && slices.Contains(m.Roles, access.Administrator) {
			administrators++
		}
	}
	token, works := false, false
	for _, t := range tokens {
		token = token || t.Edge() && t.State(f.Now) == "active"
	}
	for _, c := range channels {
		works = works || c.Partner == f.Me.Partner && c.State() == "works"
	}
	out := []firstStep{
		{"members", "/admin/members", administrators >= 2},
		{"partners", "/partners/new", len(partners) >= 2},
		{"duty", "/duty", len(roster.Pattern.Shifts) > 0 && len(roster.Now.Members) > 0},
		{"channel", "/messages", works},
		{"token", "/edges/new", token || len(edges) > 0},
		{"edge", "/edges", slices.ContainsFunc(edges, func(e api.Edge) bool { return !e.SeenAt.IsZero() })},
		{"practice", "/incidents/new", len(practised) > 0},
	}
	if !slices.ContainsFunc(out, func(st firstStep) bool { return !st.Done }) {
		return nil, nil
	}
	return out, nil
}

func stepsDone(list []firstStep) (n int) {
	for _, st := range list {
		n += b2i(st.Done)
	}
	return n
}
