package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Signal is a signal as partners read it.
type Signal struct {
	ID          string            `json:"id" example:"S-0418"`
	Number      uint64            `json:"number"`
	State       signal.State      `json:"state" enum:"proposed,active,suspended,refused,withdrawn,expired"`
	Incident    string            `json:"incident"`
	List        string            `json:"list"`
	Group       string            `json:"group"`
	Kind        fingerprint.Kind  `json:"kind"`
	Value       string            `json:"value" doc:"Canonical text form of the fingerprint; of a payment handle, its first two and last four characters"`
	MaxDistance int               `json:"max_distance" doc:"Bits, for kinds with a distance"`
	Labels      []string          `json:"labels"`
	Producer    signal.Producer   `json:"producer"`
	Action      signal.Action     `json:"action" enum:"block,review,monitor" doc:"What it does now: for an active signal the effective action, else the one proposed"`
	Wanted      signal.Action     `json:"wanted" enum:"block,review,monitor" doc:"The action proposed"`
	Confidence  signal.Confidence `json:"confidence"`
	Quality     *int              `json:"quality,omitempty" doc:"PDQ's quality of the picture, for kinds pdq, vpdq and local, 0 to 100; under 50 it never blocks, nor does one of kind pdq that was proposed without it"`
	Weak        string            `json:"weak,omitempty" doc:"Why it may not block, and what to do"`
	TLP         access.TLP        `json:"tlp"`
	Partners    []string          `json:"partners,omitempty" doc:"The readers, where only some may read"`
	Note        string            `json:"note"`
	Exercise    bool              `json:"exercise"`
	ProposedBy  string            `json:"proposed_by"`
	ProposedAt  time.Time         `json:"proposed_at"`
	ApprovedBy  []string          `json:"approved_by"`
	Under       string            `json:"under,omitempty" doc:"Authority by which it became active"`
	ActiveAt    time.Time         `json:"active_at,omitzero"`
	EndedAt     time.Time         `json:"ended_at,omitzero"`
	ExpiresAt   time.Time         `json:"expires_at,omitzero"`
	Mine        signal.State      `json:"mine,omitempty" doc:"What your own platform decided for its own edges, if it did"`
	Version     int64             `json:"version" doc:"Number of the entry that changed its state last"`
}

// VerdictSum is a number of verdicts.
type VerdictSum struct {
	N   int64 `json:"n"`
	Few int64 `json:"few,omitempty" doc:"Reports of fewer than 5 besides, each of at least one"`
}

// VerdictCounts are the verdicts of one platform, or of all.
type VerdictCounts struct {
	TruePositive  VerdictSum `json:"true_positive"`
	FalsePositive VerdictSum `json:"false_positive"`
	Disputed      VerdictSum `json:"disputed"`
	FalseShare    *float64   `json:"false_share,omitempty" doc:"Share of false positives, 0 to 1; at least, where few is not 0"`
	Last          time.Time  `json:"last,omitzero"`
}

// PartnerVerdicts are the verdicts of one platform.
type PartnerVerdicts struct {
	Partner string `json:"partner"`
	VerdictCounts
}

// SignalVerdicts is what platforms found about matches of a signal.
type SignalVerdicts struct {
	Signal   string            `json:"signal"`
	Total    VerdictCounts     `json:"total"`
	Partners []PartnerVerdicts `json:"partners"`
}

func verdictsView(f signal.Feedback) SignalVerdicts {
	of := func(j signal.Judged) VerdictCounts {
		c := VerdictCounts{TruePositive: VerdictSum(j.True), FalsePositive: VerdictSum(j.False), Disputed: VerdictSum(j.Disputed), Last: j.Last}
		if share, ok := j.FalseShare(); ok {
			c.FalseShare = &share
		}
		return c
	}
	v := SignalVerdicts{Signal: f.Signal, Total: of(f.Total), Partners: []PartnerVerdicts{}}
	for _, p := range f.Partners {
		v.Partners = append(v.Partners, PartnerVerdicts{p.Partner, of(p.Judged)})
	}
	return v
}

func signalView(s signal.Signal, by access.Actor) Signal {
	v := Signal{
		ID: s.ID, Number: s.Number, State: s.State, Incident: s.Incident, List: s.List, Group: s.Group,
		Kind: s.Fingerprint.Kind, Value: s.Fingerprint.Shown(), MaxDistance: s.MaxDistance, Labels: s.Labels, Producer: s.Producer,
		Action: s.Wanted, Wanted: s.Wanted, Confidence: s.Confidence, Quality: s.Provenance.Quality, Weak: s.Weak().String(),
		TLP: s.Audience.TLP, Partners: s.Audience.Partners, Note: s.Note, Exercise: s.Exercise,
		ProposedBy: s.Proposed.Partner, ProposedAt: s.Proposed.At, ApprovedBy: []string{}, Under: s.Under,
		ActiveAt: s.Active, EndedAt: s.Ended, ExpiresAt: s.ExpiresAt.Truncate(time.Millisecond), Mine: s.Own[by.Partner].State, Version: s.Last.Entry,
	}
	if s.State == signal.Active {
		v.Action = s.Does
	}
	for _, a := range s.Approved {
		if !slices.Contains(v.ApprovedBy, a.Partner) {
			v.ApprovedBy = append(v.ApprovedBy, a.Partner)
		}
	}
	return v
}

// IDInput names the object of a request.
type IDInput struct {
	ID string `path:"id" maxLength:"60"`
}

type signalOutput struct{ Body Signal }

func (s *server) signalRoutes() {
	add(s, op{"propose-signal", http.MethodPost, "/api/v1/signals", "Propose a signal", access.Propose, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body signal.Proposal }) (*signalOutput, error) {
			sig, err := s.Signals.Propose(ctx, actor(ctx), in.Body)
			return &signalOutput{signalView(sig, actor(ctx))}, err
		})
	add(s, op{"list-signals", http.MethodGet, "/api/v1/signals", "List signals, newest first", access.ReadSignals, http.StatusOK},
		func(ctx context.Context, in *struct {
			PageInput
			Incident string   `query:"incident" maxLength:"60"`
			Partner  string   `query:"partner" maxLength:"40" doc:"That proposed them"`
			State    []string `query:"state" enum:"proposed,active,suspended,refused,withdrawn,expired"`
		},
		) (*struct{ Body Page[Signal] }, error) {
			after, err := in.object()
			if err != nil {
				return nil, err
			}
			q := signal.Query{Incident: in.Incident, Partner: in.Partner, Text: in.Q, Cursor: after, Limit: in.Limit}
			for _, st := range in.State {
				q.States = append(q.States, signal.State(st))
			}
			list, next, err := s.Signals.List(ctx, actor(ctx), q)
			out := &struct{ Body Page[Signal] }{Page[Signal]{Items: []Signal{}, Next: cursor(next)}}
			for _, sig := range list {
				out.Body.Items = append(out.Body.Items, signalView(sig, actor(ctx)))
			}
			return out, err
		})
	add(s, op{"get-signal", http.MethodGet, "/api/v1/signals/{id}", "Read a signal", access.ReadSignals, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*signalOutput, error) {
			sig, err := s.Signals.Get(ctx, actor(ctx), in.ID)
			return &signalOutput{signalView(sig, actor(ctx))}, err
		})
	add(s, op{"get-signal-verdicts", http.MethodGet, "/api/v1/signals/{id}/verdicts", "Read what platforms found about a signal's matches", access.ReadSignals, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body SignalVerdicts }, error) {
			f, err := s.Signals.Feedback(ctx, actor(ctx), in.ID)
			return &struct{ Body SignalVerdicts }{verdictsView(f)}, err
		})
	for _, d := range []struct {
		verb, what string
		right      access.Action
		do         func(context.Context, access.Actor, string, signal.Decision) (signal.Signal, error)
	}{
		{"approve", "Make a proposed signal active", access.Decide, s.Signals.Approve},
		{"refuse", "Refuse a proposed signal", access.Decide, s.Signals.Refuse},
		{"suspend", "Stop a signal at once, at your own platform (mine, the default) or everywhere", access.Suspend, s.Signals.Suspend},
		{"resume", "Make a suspended signal active again: an approval anew", access.Decide, s.Signals.Resume},
		{"withdraw", "End a signal for good", access.Withdraw, s.Signals.Withdraw},
	} {
		add(s, op{d.verb + "-signal", http.MethodPost, "/api/v1/signals/{id}/" + d.verb, d.what, d.right, http.StatusOK},
			func(ctx context.Context, in *struct {
				IDInput
				Body signal.Decision `required:"false"`
			},
			) (*signalOutput, error) {
				sig, err := d.do(ctx, actor(ctx), in.ID, in.Body)
				return &signalOutput{signalView(sig, actor(ctx))}, err
			})
	}
}

// op describes one route. Right is the row of the table of rights that it
// needs, for the documentation and for the matrix test; the service checks it.
type op struct {
	id, method, path, summary string
	right                     access.Action
	status                    int
}

// add registers a route whose handler calls a service.
func add[I, O any](s *server, o op, handle func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, DefaultStatus: o.status,
		Metadata:     map[string]any{"right": o.right},
		MaxBodyBytes: maxBody,
		Errors:       []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
		Extensions:   map[string]any{"x-siaga-right": string(o.right)},
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			p := from(err)
			if p.Status == http.StatusInternalServerError {
				s.Log.ErrorContext(ctx, "request failed", "operation", o.id, "err", err)
			}
			return nil, p
		}
		return out, nil
	})
}
