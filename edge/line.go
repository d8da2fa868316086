package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"
)

// ErrToken is wrapped by the error of Follower.Run when the node refuses the
// edge's token and the edge never had a state to answer from.
var ErrToken = errors.New("edge: the node refuses this edge's token")

// line tells the operator how the connection to the node is: each change once,
// and what lasts once a minute. It is owned by Run's goroutine.
type line struct {
	log   *slog.Logger
	fault string    // what is told to be wrong; "" while all is well
	since time.Time // of the first failure since the last connection
	told  time.Time // when fault was last told
	tries int       // failures since then
	deny  int       // refusals of the token, one after the other
}

// again is how often a fault that lasts is told.
const again = time.Minute

// The faults that are told apart.
const (
	faultAway  = "the node is not reached; this edge answers from what it has and tries again"
	faultToken = "the node refuses this edge's token; make a new one on the node with siaga token create --roles edge, and start the edge with it"
	faultNode  = "what the node sends is not accepted; see the alarms of GET /v1/status"
)

// lost notes a failure to connect, or the end of a connection.
func (l *line) lost(ctx context.Context, now time.Time, upstream string, err error, connected bool) {
	if errors.Is(err, errAgain) {
		return // something was mended
	}
	if l.since.IsZero() || connected {
		l.since = now
	}
	if connected && !errors.Is(err, ErrToken) {
		l.log.DebugContext(ctx, "feed interrupted", "upstream", upstream, "err", Reason(err))
		return // it is told when the next attempt fails, too
	}
	l.tries++
	fault, level := faultAway, slog.LevelWarn
	switch {
	case errors.Is(err, ErrToken):
		if !errors.Is(err, errLater) {
			l.deny++
		}
		fault, level = faultToken, slog.LevelError
	case errors.Is(err, ErrSignature), errors.Is(err, ErrFork), errors.Is(err, ErrRollback), errors.Is(err, ErrSyntax):
		fault, level = faultNode, slog.LevelError
	}
	if fault != faultToken {
		l.deny = 0
	}
	if fault == l.fault && now.Sub(l.told) < again {
		return
	}
	if fault == l.fault {
		l.log.Log(ctx, level, fault, "upstream", upstream, "for", now.Sub(l.since).Round(time.Second), "attempts", l.tries, "err", Reason(err))
	} else {
		l.log.Log(ctx, level, fault, "upstream", upstream, "err", Reason(err))
	}
	l.fault, l.told, l.tries = fault, now, 0
}

// back notes that the edge is connected.
func (l *line) back(ctx context.Context, now time.Time, upstream string) {
	if l.fault != "" {
		l.log.InfoContext(ctx, "the node is reached again", "upstream", upstream, "after", now.Sub(l.since).Round(time.Second))
	}
	*l = line{log: l.log}
}

// pause is the longest time until the next attempt: what retry says, and some
// seconds when the token has been refused for a minute. A node that is away is
// always asked often: a withdrawal must take effect within a second of its
// coming back, however long that took.
func (l *line) pause(now time.Time, retry time.Duration) time.Duration {
	if l.deny > 0 && now.Sub(l.since) > again {
		return 4 * retry
	}
	return retry
}

// Reason is err without the address that was asked, whose query holds a cursor
// and a nonce: what a person needs is the host, which is told beside it, and
// why. The chain of err stays below it.
func Reason(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
