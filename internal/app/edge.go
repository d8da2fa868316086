package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

// EdgeOptions are the settings of an edge. Upstream and Token are needed.
type EdgeOptions struct {
	Upstream []string
	Token    string
	Data     string // folder for its own snapshot; "" keeps it in memory only
	Log      *slog.Logger
	Now      func() time.Time
	Few      int64
	Lookback LookbackOptions
	Pool     *media.Pool // shared with other edges of the same process; nil: its own

	// PaymentKeys are of lists whose payment handles are shared as keyed hashes.
	PaymentKeys []payment.Key
}

// Edge is a matcher with what feeds it and what it answers with.
type Edge struct {
	Matcher  *edge.Matcher
	Follower *edge.Follower
	Lookback *edge.Lookback // nil: it does not look back
	Handler  http.Handler

	pool   *media.Pool // to close; nil if shared
	notify string
	log    *slog.Logger
	ran    bool
}

// fingerprinter lets an edge read files through the confined workers.
type fingerprinter struct{ pool *media.Pool }

// Fingerprint implements edge.Fingerprinter. What is wrong with the file
// itself is an answer ("unknown"), not an error.
func (f fingerprinter) Fingerprint(ctx context.Context, r io.Reader) (fingerprint.Set, error) {
	set, err := f.pool.Fingerprint(ctx, r, media.Want{Name: "upload", Local: true})
	if e, ok := errors.AsType[*media.Error](err); ok && ctx.Err() == nil {
		for _, ours := range []error{media.ErrNoWorker, media.ErrClosed} {
			if errors.Is(e, ours) {
				return set, err
			}
		}
		set.Unknown, set.Fix = e.What, e.Fix
		return set, nil
	}
	return set, err
}

// NewEdge opens the edge's folder and loads what is there; Run follows the feed.
func NewEdge(o EdgeOptions) (*Edge, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := ownFolder(o.Data, &anEdge); err != nil {
		return nil, err
	}
	e := &Edge{notify: o.Lookback.Notify, log: o.Log}
	pool := o.Pool
	if pool == nil {
		var err error
		if pool, err = media.New(media.Options{}); err != nil {
			return nil, err
		}
		e.pool = pool
	}
	e.Matcher = edge.NewMatcher(edge.MatcherOptions{Now: o.Now, PaymentKeys: o.PaymentKeys, OnTrip: func(t edge.Trip) {
		o.Log.Warn("circuit breaker turned a signal to review", "signal", t.Signal, "matches", t.Matches, "median_distance", t.Distance)
	}})
	f, err := edge.NewFollower(e.Matcher, edge.FollowerOptions{
		Upstream: o.Upstream, Token: o.Token, Dir: o.Data, Log: o.Log, Now: o.Now, Version: Version(), Few: o.Few,
	})
	if err != nil {
		if errors.Is(err, edge.ErrSyntax) {
			err = problem.New(problem.Invalid, strings.TrimPrefix(err.Error(), edge.ErrSyntax.Error()+": "), "make a token with siaga token create --roles edge and put it into the token file").Because(err)
		}
		return nil, errors.Join(err, e.Close())
	}
	e.Follower = f
	if o.Lookback.On {
		if e.Lookback, err = openLookback(e.Matcher, o); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	e.Handler = edge.NewServer(edge.ServerOptions{Matcher: e.Matcher, Follower: f, Lookback: e.Lookback, Fingerprinter: fingerprinter{pool}, Version: Version(), Values: variantValues})
	return e, nil
}

// maxVariantKeys bounds the key frames that one variant proposes.
const maxVariantKeys = 16

// variantValues is what of a file is proposed as a variant: all that a proposal
// of it would hold, with fewer key frames.
func variantValues(set *fingerprint.Set) []edge.VariantValue {
	var out []edge.VariantValue
	keys := 0
	for _, p := range ProposalsOf(set) {
		if p.Value.Kind == fingerprint.Local {
			if keys++; keys > maxVariantKeys {
				break
			}
		}
		out = append(out, edge.VariantValue{Kind: p.Value.Kind, Value: p.Value.Text, Quality: p.Quality})
	}
	return out
}

// Run follows the feed, and looks back for what it brings, until ctx ends.
func (e *Edge) Run(ctx context.Context) error {
	e.ran = true
	if e.Lookback == nil {
		return e.Follower.Run(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.Follower.Run(ctx) })
	g.Go(func() error { return e.Lookback.Run(ctx) })
	if e.notify != "" {
		g.Go(func() error {
			postEvents(ctx, e.Lookback, e.notify, e.log)
			return nil
		})
	}
	return g.Wait()
}

// Close ends the edge's workers, after Run.
func (e *Edge) Close() (err error) {
	if e.Lookback != nil && !e.ran {
		err = e.Lookback.Close()
	}
	if e.pool != nil {
		err = errors.Join(err, e.pool.Close())
	}
	return err
}
