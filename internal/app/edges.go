package app

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// publisher puts a signal's operations on the feed.
type publisher struct{ feed.Publisher }

func (p publisher) Publish(tx journal.StoreTx, entry int64, at time.Time, ops []signal.Op) error {
	if len(ops) == 0 {
		return nil
	}
	drafts := make([]feed.Draft, len(ops))
	for i, op := range ops {
		s := op.Signal
		d := feed.Draft{Chain: op.Chain, Do: edge.Remove, Signal: edge.Signal{Number: s.Number, ID: s.ID, Exercise: s.Exercise, Entry: entry}}
		if op.Add {
			d.Do = edge.Add
			d.Signal = edge.Signal{
				Number: s.Number, ID: s.ID, Kind: s.Fingerprint.Kind, Value: s.Fingerprint.Text, List: s.List, Labels: s.Labels,
				Producer: string(s.Producer), Action: edge.Action(op.Action), MaxDistance: s.MaxDistance, Group: s.Group,
				Exercise: s.Exercise, Incident: s.Incident, Expires: s.ExpiresAt.UTC().Truncate(time.Second), Entry: entry,
			}
		}
		drafts[i] = d
	}
	_, err := p.Publisher.Publish(tx, entry, at, drafts...)
	return err
}

func (n *Node) authenticateEdge(r *http.Request) (feed.Subscriber, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return feed.Subscriber{}, problem.New(problem.SignIn, "the feed needs an edge's token", `send it as "Authorization: Bearer siaga_edge_…"; make one with siaga token create --roles edge`)
	}
	a, t, err := n.Partners.ByToken(r.Context(), strings.TrimSpace(text))
	if err != nil {
		return feed.Subscriber{}, err
	}
	if err := access.Allow(a, access.FollowFeed, n.o.Now()); err != nil {
		return feed.Subscriber{}, err
	}
	return feed.Subscriber{Partner: a.Partner, Edge: t.Name, Token: t.ID}, nil
}

func (n *Node) validEdge(ctx context.Context, s feed.Subscriber) error {
	var t partner.Token
	err := n.Log.View(ctx, func(r journal.StoreReader) (err error) {
		t, _, err = journal.Load[partner.Token](r, partner.KindToken, s.Token)
		return err
	})
	if err == nil && t.State(n.o.Now()) != "active" {
		err = problem.Newf(problem.SignIn, "the token of edge %s is %s", s.Edge, t.State(n.o.Now())).WithFix("make a new one with siaga token create --roles edge")
	}
	return err
}

func (n *Node) knownEdges(ctx context.Context) ([]feed.Subscriber, error) {
	var out []feed.Subscriber
	err := n.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: partner.KindToken, States: []string{"active"}}, func(t partner.Token, _ journal.Object) error {
			if t.Edge() && t.State(n.o.Now()) == "active" {
				out = append(out, feed.Subscriber{Partner: t.Partner, Edge: t.Name, Token: t.ID})
			}
			return nil
		})
	})
	return out, err
}

// tripped is told when an edge's circuit breaker turned a signal to review
// there: the node then asks everyone to review it.
func (n *Node) tripped(ctx context.Context, by feed.Subscriber, trip edge.Trip) error {
	return n.Signals.Trip(ctx, signal.Trip{Signal: trip.Signal, Partner: by.Partner, Edge: by.Edge, Matches: trip.Matches, Distance: trip.Distance, Entry: trip.Entry})
}

// tallies keeps what edges count.
type tallies struct{ s *signal.Service }

func (t tallies) AddTallies(ctx context.Context, by feed.Subscriber, batch string, counts []edge.Tally) error {
	out := make([]signal.MatchCount, len(counts))
	for i, c := range counts {
		out[i] = signal.MatchCount{Signal: c.Signal, Minute: c.Minute, Action: signal.Action(c.Action), Pass: c.Pass, Exercise: c.Exercise, Matches: c.Count, Few: c.Few}
	}
	return t.s.AddCounts(ctx, by.Partner, by.Edge, batch, out)
}

// edgeDirectory shows edges to whoever may see them: their own partner all of
// it, the operator all of all, others that they are there and current.
type edgeDirectory struct{ n *Node }

// silentAfter is how long an edge may say nothing until it counts as silent:
// three heartbeats.
const silentAfter = 15 * time.Second

func (d edgeDirectory) EdgesFor(ctx context.Context, by access.Actor) ([]api.Edge, error) {
	if err := access.Allow(by, access.ReadEdges, d.n.o.Now()); err != nil {
		return nil, err
	}
	states, err := d.n.Hub.Edges(ctx)
	if err != nil {
		return nil, err
	}
	now := d.n.o.Now()
	out := make([]api.Edge, 0, len(states))
	for _, s := range states {
		e := api.Edge{
			Name: s.Edge, Partner: s.Partner, Connected: s.Streams > 0, SeenAt: s.LastSeen.UTC(), Signals: s.Report.Signals,
			Behind: int64(s.Behind), Version: s.Report.Version, FeedAgeMS: s.Report.FeedAgeMS, //nolint:gosec // a count
			AddMS: float64(s.LastAdd.Delay.Microseconds()) / 1000, RemoveMS: float64(s.LastDrop.Delay.Microseconds()) / 1000,
			MatchesPerMinute: s.PerMinute,
		}
		if !s.LastSeen.IsZero() {
			e.FeedAgeMS += now.Sub(s.LastSeen).Milliseconds()
		}
		switch {
		case s.LastSeen.IsZero() || (s.Streams == 0 && now.Sub(s.LastSeen) > silentAfter):
			e.State = "silent"
		case s.Behind > 0 || s.Streams == 0:
			e.State = "behind"
		default:
			e.State = "current"
		}
		out = append(out, e)
	}
	return out, nil
}

// Reach says how far the newest operation on a signal has come.
func (d edgeDirectory) Reach(s signal.Signal) (feed.Reach, bool) {
	chain := edge.SharedChain
	if s.Audience.Named() {
		chain = edge.OwnChain(s.Audience.Origin)
	}
	return d.n.Hub.Reach(chain, s.Number)
}

// Version changes when what pages show of edges changes.
func (d edgeDirectory) Version(ctx context.Context) (uint64, error) {
	states, err := d.n.Hub.Edges(ctx)
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	now := d.n.o.Now()
	for _, s := range states {
		silent := s.Streams == 0 && now.Sub(s.LastSeen) > silentAfter
		fmt.Fprintln(h, s.Partner, s.Edge, s.Streams > 0, silent, s.Behind, s.Report.Signals, s.Report.Matched, len(s.Report.Alarms))
	}
	return h.Sum64(), nil
}
