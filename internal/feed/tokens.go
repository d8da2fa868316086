package feed

import (
	"context"
	"time"
)

// Validity says how long a token may go on being used.
type Validity struct {
	Until time.Time // zero: no end
	Err   error     // why it may not be used any more; nil: it may
}

// tokenCheck is how often streams' tokens are looked at, if anything may have
// changed.
const tokenCheck = 250 * time.Millisecond

// Recheck makes the hub look at the tokens of open streams now.
func (h *Hub) Recheck() {
	select {
	case h.recheck <- struct{}{}:
	default:
	}
}

// watchTokens ends streams whose token may no longer be used. It has a
// goroutine of its own: with many edges a check takes a while, and operations
// must not wait for it.
func (h *Hub) watchTokens(ctx context.Context) {
	if h.o.Valid == nil {
		return
	}
	tick := time.NewTicker(tokenCheck)
	defer tick.Stop()
	var next time.Time // the earliest end of a token that was checked; zero: none
	grown := true
	checked := time.Time{}
	commit := h.o.Store.Committed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.recheck:
			grown = true
		}
		select {
		case <-commit:
			grown = true
		default:
		}
		now := h.o.Now()
		if !grown && (next.IsZero() || now.Before(next)) && now.Sub(checked) < 5*time.Second {
			continue
		}
		commit = h.o.Store.Committed() // before looking
		var ok bool
		if next, ok = h.checkTokens(ctx); ok {
			grown, checked = false, now
		}
		if h.o.Grants != nil {
			h.regrant(ctx)
		}
	}
}

// checkTokens ends streams and returns the earliest end of the tokens that
// stay. It returns false if the check could not be made.
func (h *Hub) checkTokens(ctx context.Context) (next time.Time, ok bool) {
	h.mu.Lock()
	by := map[string][]*subscriber{}
	for s := range h.subs {
		by[s.who.Token] = append(by[s.who.Token], s)
	}
	h.mu.Unlock()
	if len(by) == 0 {
		return next, true
	}
	ask := make([]Subscriber, 0, len(by))
	for _, subs := range by {
		ask = append(ask, subs[0].who)
	}
	said, err := h.o.Valid(ctx, ask)
	if err != nil || len(said) != len(ask) {
		if ctx.Err() == nil {
			h.o.Log.WarnContext(ctx, "tokens of open streams could not be checked", "err", err)
		}
		return next, false
	}
	for i, v := range said {
		if v.Err != nil {
			for _, s := range by[ask[i].Token] {
				s.end("revoked", "this token was revoked or has expired; ask for a new one")
			}
			continue
		}
		if !v.Until.IsZero() && (next.IsZero() || v.Until.Before(next)) {
			next = v.Until
		}
	}
	return next, true
}
