package app

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/history"
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
	state, err := history.Load(tx)
	if err != nil {
		return err
	}
	p.Epoch = state.Epoch
	_, err = p.Publisher.Publish(tx, entry, at, drafts(entry, ops)...)
	return err
}

// drafts is what edges are told of signals.
func drafts(entry int64, ops []signal.Op) []feed.Draft {
	out := make([]feed.Draft, len(ops))
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
		out[i] = d
	}
	return out
}

// tokenFor is how long a report of an edge may go by an earlier look at its
// token: a thousand edges report a thousand times a second. Streams and
// snapshots always look.
const tokenFor = 500 * time.Millisecond

// tokenCache remembers tokens of edges by their text's hash.
type tokenCache struct {
	mu    sync.Mutex
	known map[string]cachedToken
	swept time.Time
}

type cachedToken struct {
	who feed.Subscriber
	at  time.Time
}

func (c *tokenCache) get(hash string, now time.Time) (feed.Subscriber, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.known[hash]
	return t.who, ok && now.Sub(t.at) >= 0 && now.Sub(t.at) < tokenFor
}

func (c *tokenCache) put(hash string, who feed.Subscriber, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || now.Sub(c.swept) > time.Minute {
		c.known, c.swept = map[string]cachedToken{}, now
	}
	c.known[hash] = cachedToken{who, now}
}

func (n *Node) authenticateEdge(r *http.Request) (feed.Subscriber, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return feed.Subscriber{}, problem.New(problem.SignIn, "the feed needs an edge's token", `send it as "Authorization: Bearer siaga_edge_…"; make one with siaga token create --roles edge`)
	}
	text = strings.TrimSpace(text)
	hash, now := edge.TokenHash(text), n.o.Now()
	if r.Method == http.MethodPost {
		if who, ok := n.tokens.get(hash, now); ok {
			return who, nil
		}
	}
	a, t, err := n.Partners.ByToken(r.Context(), text)
	if err != nil {
		return feed.Subscriber{}, err
	}
	if err := access.Allow(a, access.FollowFeed, now); err != nil {
		return feed.Subscriber{}, err
	}
	who := feed.Subscriber{Partner: a.Partner, Edge: t.Name, Token: t.ID, Relay: t.Relay()}
	n.tokens.put(hash, who, now)
	n.shown(r, who.Partner+"/"+who.Edge)
	return who, nil
}

// validEdges looks at the tokens of open streams.
func (n *Node) validEdges(ctx context.Context, subs []feed.Subscriber) ([]feed.Validity, error) {
	var out []feed.Validity
	now := n.o.Now()
	err := n.Log.View(ctx, func(r journal.StoreReader) error {
		out = make([]feed.Validity, len(subs))
		for i, s := range subs {
			t, _, err := journal.Load[partner.Token](r, partner.KindToken, s.Token)
			switch {
			case problem.KindOf(err) == problem.NotFound:
				out[i].Err = err
			case err != nil:
				return err
			case t.State(now) != "active":
				out[i].Err = problem.Newf(problem.SignIn, "the token of edge %s is %s", s.Edge, t.State(now)).WithFix("make a new one with siaga token create --roles edge")
			default:
				out[i].Until = t.Expires
			}
		}
		return nil
	})
	return out, err
}

// grants lists the edges that a relay may serve.
func (n *Node) grants(ctx context.Context, s feed.Subscriber) ([]edge.EdgeGrant, error) {
	by := access.Actor{Partner: s.Partner, Name: s.Edge, Token: s.Token, Roles: []access.Role{access.Relay}, Scopes: []access.TokenScope{access.ScopeFeed}}
	ts, err := n.Partners.EdgeTokens(ctx, by)
	if err != nil {
		return nil, err
	}
	out := make([]edge.EdgeGrant, 0, len(ts))
	for _, t := range ts {
		out = append(out, edge.EdgeGrant{Hash: t.Hash, Token: t.ID, Edge: t.Name, Until: t.Expires})
	}
	return out, nil
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
	actor, err := tallies{n.Signals, n.Partners}.actor(ctx, by)
	if err != nil {
		return err
	}
	t := signal.Trip{Signal: trip.Signal, Edge: by.Edge, Matches: trip.Matches, Distance: trip.Distance, Entry: trip.Entry}
	if trip.Cause == edge.CauseEpoch {
		var state history.State
		if err := n.Log.View(ctx, func(r journal.StoreReader) (err error) { state, err = history.Load(r); return err }); err != nil {
			return err
		}
		if t.Restored = state.Entries; t.Restored == 0 {
			return nil // this node was never restored
		}
	}
	return n.Signals.Trip(ctx, actor, t)
}

// tallies keeps what edges count.
type tallies struct {
	s        *signal.Service
	partners *partner.Service
}

func (t tallies) AddTallies(ctx context.Context, by feed.Subscriber, batch string, counts []edge.Tally) error {
	out := make([]signal.MatchCount, len(counts))
	for i, c := range counts {
		out[i] = signal.MatchCount{Signal: c.Signal, Minute: c.Minute, Action: signal.Action(c.Action), Pass: c.Pass, Exercise: c.Exercise, Matches: c.Count, Few: c.Few}
	}
	return t.s.AddCounts(ctx, by.Partner, by.Edge, batch, out)
}

// actor is who an edge acts as.
func (t tallies) actor(ctx context.Context, by feed.Subscriber) (access.Actor, error) {
	p, err := t.partners.Get(ctx, access.Actor{System: true}, by.Partner)
	if err != nil {
		return access.Actor{}, err
	}
	return access.Actor{Partner: by.Partner, Kind: p.Kind, Name: by.Edge, Token: by.Token, Roles: []access.Role{access.Edge}, Scopes: []access.TokenScope{access.ScopeFeed}}, nil
}

// AddVerdicts implements feed.VerdictStore.
func (t tallies) AddVerdicts(ctx context.Context, by feed.Subscriber, batch string, counts []edge.VerdictCount) ([]string, error) {
	actor, err := t.actor(ctx, by)
	if err != nil {
		return nil, err
	}
	out := make([]signal.VerdictCount, len(counts))
	for i, c := range counts {
		out[i] = signal.VerdictCount{Signal: c.Signal, Verdict: signal.Verdict(c.Verdict), Count: c.Count, Few: c.Few}
	}
	return t.s.AddVerdicts(ctx, actor, by.Edge, batch, out)
}

// edgeDirectory shows edges to whoever may see them: their own partner all of
// it, the operator all of all, others that they are there and current.
type edgeDirectory struct{ n *Node }

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
			Name: s.Edge, Partner: s.Partner, Connected: s.Attached(now), SeenAt: s.LastSeen.UTC().Truncate(time.Millisecond), Signals: s.Report.Signals,
			Behind: int64(s.Behind), Version: s.Report.Version, FeedAgeMS: s.Report.FeedAgeMS, //nolint:gosec // a count
			AddMS: float64(s.LastAdd.Delay.Microseconds()) / 1000, RemoveMS: float64(s.LastDrop.Delay.Microseconds()) / 1000,
			MatchesPerMinute: s.PerMinute,
		}
		if !s.LastSeen.IsZero() {
			e.FeedAgeMS += now.Sub(s.LastSeen).Milliseconds()
		}
		e.State = s.State(now)
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
		silent := s.Streams == 0 && now.Sub(s.LastSeen) > feed.SilentAfter
		fmt.Fprintln(h, s.Partner, s.Edge, s.Streams > 0, silent, s.Behind, s.Report.Signals, s.Report.Matched, len(s.Report.Alarms))
	}
	return h.Sum64(), nil
}
