package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// subscriber is one open stream. Its goroutine is the request's.
type subscriber struct {
	who     Subscriber
	follows []follow      // its chains; positions owned by its goroutine
	wake    chan struct{} // capacity 1: something is new
	over    chan struct{} // closed once, by end

	once   sync.Once
	reason string // set before over is closed
	detail string

	keys  *frame       // last sent
	beat  *frame       // last sent
	relay *relayStream // nil for an edge
	pings uint64       // last sent of Hub.pings, and one more; 0: not asked for. Owned by Hub.mu
}

// follow is a subscriber's place in one chain.
type follow struct {
	chain *chain
	seq   uint64 // last operation sent
}

func (s *subscriber) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end closes the stream with an event that says why.
func (s *subscriber) end(reason, detail string) {
	s.once.Do(func() {
		s.reason, s.detail = reason, detail
		close(s.over)
	})
}

// errBehind: the subscriber fell out of the ring.
var errBehind = errors.New("feed: behind the ring")

// pingFrame is a comment, which readers of server-sent events skip.
var pingFrame = &frame{wire: []byte(":\n\n")}

// batch is how many frames are written before looking for news.
const batch = 64

// take fills dst with what is to be written next, moves the subscriber's
// positions, and allocates nothing: frames are shared, dst belongs to the
// subscriber. Operations that a heartbeat counts are written before it.
func (h *Hub) take(s *subscriber, dst []*frame) ([]*frame, error) {
	dst = dst[:0]
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.relay != nil && s.relay.sent != s.relay.current {
		s.relay.sent = s.relay.current
		dst = append(dst, s.relay.current)
	}
	if s.keys != h.keys {
		s.keys = h.keys
		dst = append(dst, h.keys)
	}
	beat := h.beats[s.who.Partner]
	if beat == s.beat {
		beat = nil
	}
	if beat != nil && h.o.Relayed != nil && s.ahead(beat) {
		s.beat, beat = beat, nil // made before what this edge has; the next one counts it
	}
	if beat != nil {
		for _, stand := range beat.head {
			for i := range s.follows {
				if f := &s.follows[i]; f.chain == stand.chain {
					var err error
					if dst, err = f.take(dst, stand.seq, batch); err != nil {
						return nil, err
					}
					if f.seq < stand.seq { // more than a batch: the heartbeat waits
						return dst, nil
					}
				}
			}
		}
		s.beat = beat
		dst = append(dst, beat)
	}
	for i := range s.follows {
		var err error
		if dst, err = s.follows[i].take(dst, s.follows[i].chain.head.Seq, batch); err != nil {
			return nil, err
		}
	}
	if s.pings > 0 && s.pings <= h.pings {
		s.pings = h.pings + 1
		if len(dst) == 0 {
			dst = append(dst, pingFrame)
		}
	}
	return dst, nil
}

// ahead reports whether the subscriber has operations that the heartbeat does
// not count.
func (s *subscriber) ahead(beat *frame) bool {
	for _, stand := range beat.head {
		for i := range s.follows {
			if s.follows[i].chain == stand.chain && s.follows[i].seq > stand.seq {
				return true
			}
		}
	}
	return false
}

// take appends the chain's frames after f.seq up to and including upTo.
func (f *follow) take(dst []*frame, upTo uint64, limit int) ([]*frame, error) {
	if f.seq >= upTo {
		return dst, nil
	}
	c := f.chain
	first := c.head.Seq - uint64(len(c.ring)) + 1
	if f.seq+1 < first {
		return nil, errBehind
	}
	for f.seq < upTo && limit > 0 {
		f.seq++
		limit--
		dst = append(dst, c.ring[f.seq-first])
	}
	return dst, nil
}

// refusal is a cursor that cannot be served. Reason is sent in the header
// Siaga-Feed, for edges, beside the problem, for people.
type refusal struct {
	reason string
	p      *problem.Error
}

func (r refusal) Error() string { return r.p.Error() }
func (r refusal) Unwrap() error { return r.p }

const reasonHeader = "Siaga-Feed"

func (h *Hub) fail(w http.ResponseWriter, r *http.Request, err error) {
	if ref, ok := errors.AsType[refusal](err); ok {
		w.Header().Set(reasonHeader, ref.reason)
		err = ref.p
	}
	h.o.Error(w, r, err)
}

// serveStream is GET /api/v1/feed.
func (h *Hub) serveStream(w http.ResponseWriter, r *http.Request) {
	who, err := h.o.Authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	s, hello, err := h.subscribe(r, who)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer h.leave(s)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	err = h.pump(r.Context(), w, s, hello)
	switch {
	case errors.Is(err, errBehind):
		h.o.Log.WarnContext(r.Context(), "edge too slow: sent to the snapshot", "edge", who.Edge, "partner", who.Partner)
	case err != nil && r.Context().Err() == nil:
		h.o.Log.InfoContext(r.Context(), "edge's stream ended", "edge", who.Edge, "partner", who.Partner, "err", err)
	}
}

const maxNonce = 100

var errNonce = problem.Newf(problem.Invalid, "the nonce is longer than %d characters", maxNonce).WithFix("send 16 random bytes in base64url")

// subscribe checks the request and registers the stream.
func (h *Hub) subscribe(r *http.Request, who Subscriber) (*subscriber, []byte, error) {
	q := r.URL.Query()
	text := q.Get("cursor")
	if text == "" {
		text = r.Header.Get("Last-Event-ID")
	}
	cursor, err := edge.ParseCursor(text)
	if err != nil {
		return nil, nil, refusal{"garbage", problem.New(problem.Invalid, "this cursor cannot be read", "send the cursor exactly as it was received, or none to start from the snapshot").Because(err)}
	}
	nonce := q.Get("nonce")
	if len(nonce) > maxNonce {
		return nil, nil, errNonce
	}
	names := []string{edge.SharedChain, edge.OwnChain(who.Partner)}
	for name := range cursor {
		if !slices.Contains(names, name) {
			return nil, nil, refusal{"foreign", problem.New(problem.Conflict, "this cursor is of another partner's feed", "start from the snapshot with an empty folder, or use the token that belongs to it")}
		}
	}
	granted, err := h.features(q.Get("features"))
	if err != nil {
		return nil, nil, err
	}
	relay, err := h.relayRequest(r, who, granted)
	if err != nil {
		return nil, nil, err
	}
	s := &subscriber{who: who, wake: make(chan struct{}, 1), over: make(chan struct{}), relay: relay}
	for _, name := range names {
		c, err := h.open(r.Context(), name)
		if err != nil {
			return nil, nil, err
		}
		if err := h.check(r.Context(), c, cursor[name]); err != nil {
			return nil, nil, err
		}
		s.follows = append(s.follows, follow{c, cursor[name].Seq})
	}
	if err := h.reach(r.Context(), s.follows); err != nil {
		return nil, nil, err
	}
	hello := edge.Hello{Nonce: nonce, Partner: who.Partner, Edge: who.Edge, Epoch: h.o.Epoch, Heads: edge.Cursor{}, Known: cursor, Features: granted, HeartbeatMS: h.o.Heartbeat.Milliseconds()}
	if slices.Contains(granted, edge.FeaturePing) {
		hello.PingMS = h.o.Ping.Milliseconds()
	}
	h.mu.Lock()
	if h.closed || len(h.subs) >= h.o.MaxEdges {
		h.mu.Unlock()
		return nil, nil, problem.New(problem.Unavailable, "this node takes no further streams now", "connect again in a few seconds, or to another node")
	}
	if slices.Contains(granted, edge.FeaturePing) {
		s.pings = h.pings + 1
	}
	h.subs[s] = struct{}{}
	crowded := h.crowd(s)
	for _, f := range s.follows {
		hello.Heads[f.chain.name] = f.chain.head
	}
	if h.o.Relayed == nil { // an edge may know a newer one than a relay does
		hello.Checkpoint = h.note
	}
	// Many edges acknowledge less often: at most about a thousand times a
	// second in all.
	hello.AckMS = max(h.o.AckEvery, time.Duration(len(h.subs))*time.Millisecond).Milliseconds()
	h.connected(who, true)
	h.mu.Unlock()
	if crowded {
		h.o.Log.WarnContext(r.Context(), "an edge opened more streams than a token may have: the oldest was ended; give each edge a token of its own", "partner", who.Partner, "edge", who.Edge)
	}
	hello.At = h.o.Now()
	wire, err := hello.Seal(h.o.Signer)
	if err != nil {
		h.leave(s)
		return nil, nil, err
	}
	first := event("hello", wire)
	if h.o.Relayed != nil {
		first = append(event("relay", h.o.Relayed.Certificate(who.Partner)), first...)
		h.look() // its first heartbeat is what shows how fresh all this is
	}
	return s, first, nil
}

// features returns those of the features that an edge asks for which this hub
// has. What it does not know it does not grant, so that a later edge works
// with this hub; what an edge does not ask for it does not send, so that an
// earlier edge does.
func (h *Hub) features(asked string) ([]string, error) {
	granted := []string{}
	for f := range strings.SplitSeq(asked, ",") {
		switch f {
		case edge.FeaturePing:
		case edge.FeatureGrant:
			if h.o.Grants == nil {
				continue
			}
		case edge.FeatureRelay:
			if h.o.Relayed == nil {
				continue
			}
		default:
			continue
		}
		if !slices.Contains(granted, f) {
			granted = append(granted, f)
		}
	}
	if h.o.Relayed != nil && !slices.Contains(granted, edge.FeatureRelay) {
		return nil, problem.New(problem.Invalid, "this is a relay, and the edge is of a release that knows none", "update the edge, or let it follow the node itself")
	}
	return granted, nil
}

// reach waits until the rings have what the subscriber has: it may come from
// another node that was a little ahead. It also looks for the newest
// checkpoint, for the same reason.
func (h *Hub) reach(ctx context.Context, follows []follow) error {
	var note []byte
	if err := h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
		note, _, err = r.Checkpoint()
		return err
	}); err != nil {
		return fmt.Errorf("reading the checkpoint: %w", err)
	}
	var late *time.Timer
	for {
		h.mu.Lock()
		h.observe(note)
		behind := false
		for _, f := range follows {
			behind = behind || f.chain.head.Seq < f.seq
		}
		polled, closed := h.polled, h.closed
		h.mu.Unlock()
		if !behind || closed {
			return nil
		}
		if late == nil {
			late = time.NewTimer(5 * time.Second)
			defer late.Stop()
		}
		h.look()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-polled:
		case <-late.C:
			return problem.New(problem.Unavailable, "this node is behind another one and cannot catch up", "connect again in a few seconds, or to another node")
		}
	}
}

// check refuses a position that is not one of this history's, or too far back.
func (h *Hub) check(ctx context.Context, c *chain, p edge.Position) error {
	base := h.base(c)
	if p == (edge.Position{}) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if c.head.Seq > h.o.MaxTail || base.Seq > 0 {
			return refusal{"behind", problem.Newf(problem.Conflict, "this chain has %d operations", c.head.Seq).WithFix("start from the snapshot")}
		}
		return nil
	}
	h.mu.Lock()
	head := c.head
	h.mu.Unlock()
	if p == base {
		return nil
	}
	if p.Seq <= base.Seq && p.Seq > 0 {
		return refusal{"behind", problem.New(problem.Conflict, "this cursor is older than what this relay keeps", "start from the snapshot")}
	}
	future := refusal{"future", problem.Newf(problem.Conflict, "this cursor is ahead of this node: operation %d of chain %s, the newest here is %d; the node may have been restored from a backup", p.Seq, c.name, head.Seq).
		WithFix("keep what the edge has and tell the operator of the node")}
	if p.Seq == 0 {
		return refusal{"garbage", problem.New(problem.Invalid, "this cursor names no operation", "send the cursor exactly as it was received")}
	}
	at, ok, err := h.at(ctx, c, p.Seq)
	if err != nil {
		return err
	}
	if !ok && h.o.Relayed != nil {
		// The node alone can say that it went back.
		return problem.New(problem.Unavailable, "this relay has not caught up with what this edge has", "connect again in a moment, or to the node")
	}
	if !ok {
		return future
	}
	if at != p {
		return refusal{"foreign", problem.Newf(problem.Conflict, "this cursor is of another history: operation %d of chain %s is another one here", p.Seq, c.name).
			WithFix("keep what the edge has and tell the operator of the node")}
	}
	if head.Seq > p.Seq && head.Seq-p.Seq > h.o.MaxTail {
		return refusal{"behind", problem.Newf(problem.Conflict, "this cursor is %d operations behind", head.Seq-p.Seq).WithFix("start from the snapshot")}
	}
	return nil
}

// at returns the position after an operation of the chain; false if there is
// none with this number.
func (h *Hub) at(ctx context.Context, c *chain, seq uint64) (edge.Position, bool, error) {
	var rows []journal.FeedRow
	err := h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
		rows, err = r.Feed(c.name, seq-1, 1)
		return err
	})
	if err != nil {
		return edge.Position{}, false, fmt.Errorf("looking for a cursor in chain %s: %w", c.name, err)
	}
	if len(rows) == 0 || rows[0].Seq != seq {
		return edge.Position{}, false, nil
	}
	op, err := edge.ParseOperation(rows[0].Op)
	if err != nil {
		return edge.Position{}, false, fmt.Errorf("looking for a cursor in chain %s: %w", c.name, err)
	}
	return op.Position(), true, nil
}

// knows reports whether the position is one of this chain's history.
func (h *Hub) knows(ctx context.Context, c *chain, p edge.Position) (bool, error) {
	if base := h.base(c); p == base || p.Seq == 0 {
		return p == base || p == edge.Position{}, nil
	}
	at, ok, err := h.at(ctx, c, p.Seq)
	return ok && at == p, err
}

// base is where the store's part of a chain begins: after this position.
func (h *Hub) base(c *chain) edge.Position {
	if h.o.Relayed == nil {
		return edge.Position{}
	}
	return h.o.Relayed.Base(c.name)
}

func (h *Hub) leave(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		h.alone(s)
		h.connected(s.who, false)
	}
}

// byToken names what bounds a stream beside the number of all.
func (s *subscriber) byToken() string {
	if s.who.Token != "" {
		return s.who.Token
	}
	return s.who.Partner + "/" + s.who.Edge
}

// crowd notes a stream under its token, and ends the token's oldest if those are
// too many: of two edges with one token both go on by turns, a stream whose other
// end is gone makes room, and one token cannot take all streams of the node. It
// reports whether that is to be said, once a minute and edge. The caller holds
// h.mu.
func (h *Hub) crowd(s *subscriber) (say bool) {
	key, most := s.byToken(), h.o.PerToken
	if s.who.Relay {
		most *= 4
	}
	have := append(h.tokens[key], s)
	if len(have) > most {
		have[0].end("many", "more streams were opened with this edge's token than one may have; give each edge a token of its own")
		have = have[1:]
		if e, now := h.edge(s.who), h.o.Now(); !s.who.Relay && now.Sub(e.crowded) >= time.Minute {
			e.crowded, say = now, true
		}
	}
	h.tokens[key] = have
	return say
}

// alone takes a stream off its token's. The caller holds h.mu.
func (h *Hub) alone(s *subscriber) {
	key := s.byToken()
	have := slices.DeleteFunc(h.tokens[key], func(o *subscriber) bool { return o == s })
	if len(have) == 0 {
		delete(h.tokens, key)
		return
	}
	h.tokens[key] = have
}

// pump writes to one edge until its stream ends.
func (h *Hub) pump(ctx context.Context, w http.ResponseWriter, s *subscriber, hello []byte) error {
	rc := http.NewResponseController(w)
	h.mu.Lock()
	s.keys = h.keys
	h.mu.Unlock()
	write := func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
	due := func() { _ = rc.SetWriteDeadline(time.Now().Add(h.o.Stall)) } // not all writers have one; the server's own limit holds then
	due()
	if err := write(s.keys.wire); err != nil {
		return err
	}
	if err := write(hello); err != nil {
		return err
	}
	if err := h.backlog(ctx, s, write, rc.Flush, due); err != nil {
		return h.farewell(err, s, write, rc.Flush)
	}
	if err := rc.Flush(); err != nil {
		return err
	}
	frames := make([]*frame, 0, 2*batch+3)
	for {
		var err error
		if frames, err = h.take(s, frames); err != nil {
			due()
			return h.farewell(err, s, write, rc.Flush)
		}
		if len(frames) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-s.over:
				due()
				return h.farewell(nil, s, write, rc.Flush)
			case <-s.wake:
			}
			continue
		}
		due()
		for _, f := range frames {
			if err := write(f.wire); err != nil {
				return err
			}
		}
		if err := rc.Flush(); err != nil {
			return err
		}
	}
}

// farewell says why a stream ends.
func (h *Hub) farewell(cause error, s *subscriber, write func([]byte) error, flush func() error) error {
	name, reason, detail := "bye", s.reason, s.detail
	if errors.Is(cause, errBehind) {
		name, reason, detail = "reset", "slow", "this edge is too far behind; start from the snapshot"
	} else if cause != nil {
		name, reason, detail = "bye", "error", "the node cannot read its operations; connect again"
	}
	data, err := json.Marshal(map[string]string{"reason": reason, "detail": detail})
	if err != nil {
		return err
	}
	if err := write(event(name, data)); err != nil {
		return errors.Join(cause, err)
	}
	return errors.Join(cause, flush())
}

// backlog writes what is older than the rings, from the store.
func (h *Hub) backlog(ctx context.Context, s *subscriber, write func([]byte) error, flush func() error, due func()) error {
	for i := range s.follows {
		f := &s.follows[i]
		for {
			h.mu.Lock()
			inRing := f.seq+uint64(len(f.chain.ring)) >= f.chain.head.Seq
			h.mu.Unlock()
			if inRing {
				break
			}
			var rows []journal.FeedRow
			err := h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
				rows, err = r.Feed(f.chain.name, f.seq, pollLimit)
				return err
			})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			due()
			for _, row := range rows {
				if row.Seq != f.seq+1 {
					return errBehind // a relay has let go of the operations in between
				}
				if err := write(event("op", row.Op)); err != nil {
					return err
				}
				f.seq = row.Seq
			}
			if err := flush(); err != nil {
				return err
			}
			select {
			case <-s.over:
				return nil
			default:
			}
		}
	}
	return nil
}
