package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Group is the signals of one asset: its original and its variants.
type Group struct {
	ID        string            `json:"id" example:"G-12"`
	State     signal.GroupState `json:"state" enum:"open,suspended,withdrawing,withdrawn" doc:"What was last decided about the whole; withdrawing: suspended, a second person is asked"`
	Incident  string            `json:"incident"`
	TLP       access.TLP        `json:"tlp"`
	Exercise  bool              `json:"exercise"`
	Original  string            `json:"original" doc:"The signal that the group began with"`
	CreatedBy string            `json:"created_by"`
	CreatedAt time.Time         `json:"created_at"`
	AskedBy   string            `json:"asked_by,omitempty" doc:"Partner whose withdrawal waits for a second person"`
	AskedAt   time.Time         `json:"asked_at,omitzero"`
	Signals   []GroupSignal     `json:"signals" doc:"The original first, then its variants in the order in which they were found"`
	Version   int64             `json:"version" doc:"Number of the entry that changed it last"`
}

// GroupSignal is one signal of a group.
type GroupSignal struct {
	Signal
	Variant   bool      `json:"variant" doc:"It is an altered copy's, not the original's"`
	FoundBy   string    `json:"found_by" doc:"Partner"`
	FoundEdge string    `json:"found_edge,omitempty" doc:"Edge that sent it, if no person did"`
	FoundAt   time.Time `json:"found_at"`
	AtOnce    bool      `json:"at_once,omitempty" doc:"It went out for review before another partner approved it"`
}

func groupView(g signal.Group, sigs []signal.Signal, by access.Actor) Group {
	v := Group{
		ID: g.ID, State: g.State, Incident: g.Incident, TLP: g.Audience.TLP, Exercise: g.Exercise, Original: g.Original,
		CreatedBy: g.Created.Partner, CreatedAt: g.Created.At, Signals: []GroupSignal{}, Version: g.Last.Entry,
	}
	if g.Asked != nil {
		v.AskedBy, v.AskedAt = g.Asked.Partner, g.Asked.At
	}
	for _, s := range sigs {
		v.Signals = append(v.Signals, groupSignal(s, by))
	}
	return v
}

func groupSignal(s signal.Signal, by access.Actor) GroupSignal {
	out := GroupSignal{Signal: signalView(s, by), FoundBy: s.Proposed.Partner, FoundAt: s.Proposed.At, AtOnce: s.AtOnce}
	if s.Variant != nil {
		out.Variant, out.FoundEdge = true, s.Variant.Edge
	}
	return out
}

// AddedVariant is what became of a variant.
type AddedVariant struct {
	Group   string        `json:"group"`
	Signals []GroupSignal `json:"signals" doc:"One for each fingerprint that is new"`
	Known   []string      `json:"known" doc:"Signals that had one of the fingerprints already"`
}

func addedView(a signal.Added, by access.Actor) AddedVariant {
	v := AddedVariant{Group: a.Group.ID, Signals: []GroupSignal{}, Known: a.Known}
	for _, s := range a.Signals {
		v.Signals = append(v.Signals, groupSignal(s, by))
	}
	return v
}

func (s *server) groupRoutes() {
	add(s, op{"get-group", http.MethodGet, "/api/v1/groups/{id}", "Read a group: a signal and its variants", access.ReadSignals, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Group }, error) {
			g, sigs, err := s.Signals.Group(ctx, actor(ctx), in.ID)
			return &struct{ Body Group }{groupView(g, sigs, actor(ctx))}, err
		})
	add(s, op{"add-variant", http.MethodPost, "/api/v1/groups/{id}/variants", "Add an altered copy to a group, by its fingerprints", access.AddVariant, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body signal.VariantProposal
		},
		) (*struct{ Body AddedVariant }, error) {
			a, err := s.Signals.AddVariant(ctx, actor(ctx), in.ID, in.Body)
			return &struct{ Body AddedVariant }{addedView(a, actor(ctx))}, err
		})
	for _, d := range []struct {
		verb  signal.GroupVerb
		what  string
		right access.Action
	}{
		{signal.GroupApprove, "Approve every signal of a group that waits for it", access.Decide},
		{signal.GroupSuspend, "Stop all signals of a group at once, at your own platform (mine, the default) or everywhere", access.Suspend},
		{signal.GroupResume, "Make the suspended signals of a group active again: an approval anew", access.Decide},
		{signal.GroupWithdraw, "End all signals of a group for good; more than 50 need a second person and are suspended meanwhile", access.Withdraw},
	} {
		add(s, op{string(d.verb) + "-group", http.MethodPost, "/api/v1/groups/{id}/" + string(d.verb), d.what, d.right, http.StatusOK},
			func(ctx context.Context, in *struct {
				IDInput
				Body signal.Decision `required:"false"`
			},
			) (*struct{ Body Group }, error) {
				if _, err := s.Signals.DecideGroup(ctx, actor(ctx), in.ID, d.verb, in.Body); err != nil {
					return nil, err
				}
				g, sigs, err := s.Signals.Group(ctx, actor(ctx), in.ID)
				return &struct{ Body Group }{groupView(g, sigs, actor(ctx))}, err
			})
	}
}

// EdgeVariants serves POST /api/v1/feed/variants: an edge sends the
// fingerprints of a file as a variant of a group, with its own token. Write
// writes a problem.
func EdgeVariants(p *partner.Service, signals *signal.Service, write func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		text, ok := bearer(r)
		if !ok {
			write(w, r, problem.New(problem.SignIn, "a variant is sent with an edge's token", `send it as "Authorization: Bearer siaga_edge_…"`))
			return
		}
		by, t, err := p.ByToken(r.Context(), text)
		if err != nil {
			write(w, r, err)
			return
		}
		var in edge.VariantBody
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, edge.MaxVariantBytes))
		if err := dec.Decode(&in); err != nil {
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				write(w, r, problem.New(problem.TooLarge, "the variant is larger than 1 MiB", "send fewer key frames"))
				return
			}
			write(w, r, problem.Newf(problem.Invalid, "the variant cannot be read: %v", err).WithFix(`send {"group":"G-12","values":[{"kind":"pdq","value":"…"}]}`))
			return
		}
		v := signal.VariantProposal{Note: in.Note, Edge: t.Name}
		for _, x := range in.Values {
			v.Values = append(v.Values, signal.VariantValue{Kind: string(x.Kind), Value: x.Value, Quality: x.Quality, MaxDistance: x.MaxDistance})
		}
		ctx := r.Context()
		if key := r.Header.Get("Idempotency-Key"); key != "" && len(key) <= 200 {
			b, _ := json.Marshal(in) // of strings and numbers
			ctx = journal.Once(ctx, key, string(b))
		}
		a, err := signals.AddVariant(ctx, by, strings.TrimSpace(in.Group), v)
		if err != nil {
			write(w, r, err)
			return
		}
		b, err := json.Marshal(addedView(a, by))
		if err != nil {
			write(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(append(b, '\n')) // the edge may be gone
	})
}
