package api

import (
	"context"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/asks"
	"github.com/siaga-crp/siaga/internal/health"
)

// routes is all of the interface. Each line is a group that stands in the file
// of its service; every route names the row of the table of rights it needs.
func (s *server) routes() {
	s.incidentRoutes()
	s.signalRoutes()
	s.groupRoutes()
	s.partnerRoutes()
	s.identityRoutes()
	s.edgeRoutes()
	s.protocolRoutes()
	s.dutyRoutes()
	s.messageRoutes()
	s.togetherRoutes()
	s.journalRoutes()
}

// Edge is an edge that follows this node's feed, as the node knows it.
type Edge struct {
	Name             string    `json:"name"`
	Partner          string    `json:"partner"`
	State            string    `json:"state" enum:"current,behind,silent" doc:"current: has all; behind: connected and catching up; silent: not heard from"`
	Connected        bool      `json:"connected"`
	SeenAt           time.Time `json:"seen_at,omitzero" doc:"Last heard from"`
	FeedAgeMS        int64     `json:"feed_age_ms" doc:"Age of what it matches against, as far as the node knows"`
	Signals          int       `json:"signals"`
	Behind           int64     `json:"behind" doc:"Operations that it has not acknowledged"`
	AddMS            float64   `json:"add_ms,omitempty" doc:"How long the last activation took to reach it"`
	RemoveMS         float64   `json:"remove_ms,omitempty" doc:"How long the last withdrawal took to reach it"`
	MatchesPerMinute float64   `json:"matches_per_minute"`
	Version          string    `json:"version"`
}

func (s *server) edgeRoutes() {
	add(s, op{"get-health", http.MethodGet, "/api/v1/health", "Say how the node is", access.ReadHealth, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body health.Report }, error) {
			r, err := s.Health.Health(ctx, actor(ctx))
			return &struct{ Body health.Report }{r}, err
		})
	add(s, op{"list-asks", http.MethodGet, "/api/v1/asks", "List what is asked of you now, by your roles, the most urgent first", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[asks.Ask] }, error) {
			list, err := asks.Services{Partners: s.Partners, Incidents: s.Incidents, Signals: s.Signals}.All(ctx, actor(ctx), s.Now())
			return &struct{ Body Page[asks.Ask] }{Page[asks.Ask]{Items: list}}, err
		})
	add(s, op{"list-edges", http.MethodGet, "/api/v1/edges", "List the edges that follow this node's feed", access.ReadEdges, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[Edge] }, error) {
			if err := access.Allow(actor(ctx), access.ReadEdges, s.Now()); err != nil {
				return nil, err
			}
			list, err := s.Edges.EdgesFor(ctx, actor(ctx))
			return &struct{ Body Page[Edge] }{Page[Edge]{Items: list}}, err
		})
}
