package feed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
)

// Subscriber is who a stream is for, as its token says.
type Subscriber struct {
	Partner string // ID
	Edge    string // name of the edge, unique for its partner
	Token   string // ID of the token, not its text
}

// Options configure a Hub.
type Options struct {
	Store  journal.Store
	Signer edge.Signer // of hellos, heartbeats and snapshots: the feed's key
	Epoch  uint64      // of this node's history, as the Publisher's; 0 means 1
	Keys   []byte      // sealed set of keys (edge.Keys.Seal)
	Log    *slog.Logger
	Now    func() time.Time

	// Authenticate says who sends a request, or returns a problem.
	Authenticate func(r *http.Request) (Subscriber, error)
	// Valid returns nil while a token may go on being used. It is asked once a
	// second for each token with an open stream.
	Valid func(ctx context.Context, s Subscriber) error
	// Error answers a request with a problem.
	Error func(w http.ResponseWriter, r *http.Request, err error)
	// Known lists the edges that exist, whether they ever connected or not, so
	// that the silent ones are counted too. Nil: those that connected.
	Known func(ctx context.Context) ([]Subscriber, error)
	// Tallies takes what edges counted. Nil: counts are refused as Unavailable.
	Tallies TallyStore
	// Tripped is told when an edge's circuit breaker turned a signal to review
	// there. Nil: it is only shown in the edge's state.
	Tripped func(ctx context.Context, by Subscriber, trip edge.Trip) error

	Heartbeat time.Duration // interval; 0 means 5 s
	Ring      int           // operations of a chain that are kept ready; 0 means 8192
	RingBytes int           // bytes of the same; 0 means 16 MiB a chain
	MaxTail   uint64        // operations that a cursor may be behind; beyond it, the snapshot; 0 means 50,000
	MaxEdges  int           // open streams; 0 means 10,000
	Stall     time.Duration // how long a write to one edge may hang; 0 means 10 s
	AckEvery  time.Duration // least interval of an edge's acknowledgements; 0 means 200 ms, more with many edges
}

// Hub delivers operations to edges. Make one with New, run it with Run, and
// mount its routes. All methods may be called concurrently.
type Hub struct {
	o    Options
	kick chan struct{} // a chain was opened: look again; capacity 1

	mu     sync.Mutex
	chains map[string]*chain
	subs   map[*subscriber]struct{}
	keys   *frame // event "keys"
	note   string // last checkpoint
	edges  map[edgeKey]*edgeState
	beats  map[string]*frame // last heartbeat, by partner
	closed bool              // Run has ended
}

// chain is one chain as the hub follows it.
type chain struct {
	name string

	// Owned by Hub.mu.
	head  edge.Position
	ring  []*frame // operations head.Seq-len(ring)+1 … head.Seq
	bytes int      // of their frames
	stats []opStat // of the same operations

	snap snapshots
}

// frame is one event as it is sent, made once and shared by all subscribers.
type frame struct {
	wire []byte
	seq  uint64       // of an operation
	head []chainStand // of a heartbeat: where its chains stood
}

type chainStand struct {
	chain *chain
	seq   uint64
}

// New returns a Hub. It reads nothing yet.
func New(o Options) *Hub {
	o.Epoch = max(o.Epoch, 1)
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Second
	}
	if o.Ring == 0 {
		o.Ring = 8192
	}
	if o.RingBytes == 0 {
		o.RingBytes = 16 << 20
	}
	if o.MaxTail == 0 {
		o.MaxTail = 50_000
	}
	if o.MaxEdges == 0 {
		o.MaxEdges = 10_000
	}
	if o.Stall == 0 {
		o.Stall = 10 * time.Second
	}
	if o.AckEvery == 0 {
		o.AckEvery = 200 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{o: o, kick: make(chan struct{}, 1), chains: map[string]*chain{}, subs: map[*subscriber]struct{}{}, edges: map[edgeKey]*edgeState{}, beats: map[string]*frame{}}
	h.keys = &frame{wire: event("keys", o.Keys)}
	return h
}

// event returns a server-sent event (WHATWG HTML, section 9.2) whose data are
// the lines of wire.
func event(name string, wire []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(wire) + len(name) + 32)
	b.WriteString("event: ")
	b.WriteString(name)
	for line := range bytes.SplitSeq(wire, []byte("\n")) {
		b.WriteString("\ndata: ")
		b.Write(line)
	}
	b.WriteString("\n\n")
	return b.Bytes()
}

// SetKeys replaces the set of keys and tells every edge at once. The set must
// be sealed and have a higher serial.
func (h *Hub) SetKeys(sealed []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.o.Keys = sealed
	h.keys = &frame{wire: event("keys", sealed)}
	for s := range h.subs {
		s.notify()
	}
}

// Run follows the store until ctx ends, then closes every stream and returns.
func (h *Hub) Run(ctx context.Context) error {
	defer h.closeAll("restart", "the node is stopping; connect again")

	beat := time.NewTicker(h.o.Heartbeat)
	defer beat.Stop()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		commit := h.o.Store.Committed()
		if err := h.poll(ctx); err != nil && ctx.Err() == nil {
			h.o.Log.ErrorContext(ctx, "feed stands still: reading operations", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-commit:
		case <-h.kick:
		case <-beat.C:
			h.heartbeat(ctx)
		case <-check.C:
			h.checkTokens(ctx)
		}
	}
}

// poll reads new operations of all open chains and wakes their subscribers.
func (h *Hub) poll(ctx context.Context) error {
	h.mu.Lock()
	open := make([]*chain, 0, len(h.chains))
	heads := make([]edge.Position, 0, len(h.chains))
	for _, c := range h.chains {
		open, heads = append(open, c), append(heads, c.head)
	}
	h.mu.Unlock()
	for {
		more := false
		type news struct {
			c  *chain
			fs []*frame
			st []opStat
			to edge.Position
		}
		var all []news
		var note []byte
		err := h.o.Store.View(ctx, func(r journal.StoreReader) error {
			all, more = all[:0], false
			var err error
			if note, _, err = r.Checkpoint(); err != nil {
				return fmt.Errorf("reading the checkpoint: %w", err)
			}
			for i, c := range open {
				rows, err := r.Feed(c.name, heads[i].Seq, pollLimit)
				if err != nil {
					return fmt.Errorf("reading chain %s: %w", c.name, err)
				}
				if len(rows) == 0 {
					continue
				}
				n := news{c: c, to: heads[i]}
				now := h.o.Now()
				for _, row := range rows {
					op, err := edge.ParseOperation(row.Op)
					if err != nil {
						return fmt.Errorf("operation %d of chain %s: %w", row.Seq, c.name, err)
					}
					if err := op.Follows(n.to); err != nil {
						return err
					}
					n.to = op.Position()
					n.fs = append(n.fs, &frame{wire: event("op", row.Op), seq: op.Seq})
					n.st = append(n.st, opStat{seq: op.Seq, signal: op.Number, do: op.Do, at: now})
				}
				more = more || len(rows) == pollLimit
				all = append(all, n)
			}
			return nil
		})
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.note = string(note)
		for _, n := range all {
			n.c.extend(n.fs, n.st, n.to, h.o.Ring, h.o.RingBytes)
			for i, c := range open {
				if c == n.c {
					heads[i] = n.to
				}
			}
		}
		if len(all) > 0 {
			for s := range h.subs {
				s.notify()
			}
		}
		h.mu.Unlock()
		if !more {
			return nil
		}
	}
}

const pollLimit = 500

// extend appends operations and drops the oldest beyond the bounds. The caller
// holds Hub.mu.
func (c *chain) extend(fs []*frame, st []opStat, head edge.Position, limit, limitBytes int) {
	for i, f := range fs {
		c.ring, c.stats = append(c.ring, f), append(c.stats, st[i])
		c.bytes += len(f.wire)
	}
	c.head = head
	if n := len(c.stats) - len(fs) - keepDelays; n >= 0 {
		for i := range c.stats[n:][:len(fs)] {
			c.stats[n+i].delays = nil
		}
	}
	drop := 0
	for left := c.bytes; drop < len(c.ring)-1 && (len(c.ring)-drop > limit || left > limitBytes); drop++ {
		left -= len(c.ring[drop].wire)
	}
	// Dropped in large steps, so that the rest is seldom moved.
	if drop > len(c.ring)/4 || c.bytes > 2*limitBytes {
		for _, f := range c.ring[:drop] {
			c.bytes -= len(f.wire)
		}
		c.ring, c.stats = slices.Delete(c.ring, 0, drop), slices.Delete(c.stats, 0, drop)
	}
}

// open returns the chain with its newest operations in the ring.
func (h *Hub) open(ctx context.Context, name string) (*chain, error) {
	h.mu.Lock()
	c := h.chains[name]
	h.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c = &chain{name: name}
	err := h.o.Store.View(ctx, func(r journal.StoreReader) error {
		*c = chain{name: name}
		row, ok, err := r.FeedHead(name)
		if err != nil || !ok {
			return err
		}
		after := row.Seq - min(row.Seq, uint64(h.o.Ring)/2) //nolint:gosec // positive
		var last edge.Position
		for {
			rows, err := r.Feed(name, after, pollLimit)
			if err != nil {
				return err
			}
			for _, row := range rows {
				op, err := edge.ParseOperation(row.Op)
				if err != nil {
					return fmt.Errorf("operation %d: %w", row.Seq, err)
				}
				if len(c.ring) > 0 {
					if err := op.Follows(last); err != nil {
						return err
					}
				}
				last = op.Position()
				c.extend([]*frame{{wire: event("op", row.Op), seq: op.Seq}}, []opStat{{seq: op.Seq, signal: op.Number, do: op.Do}}, last, h.o.Ring, h.o.RingBytes)
				after = row.Seq
			}
			if len(rows) < pollLimit {
				return nil
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("opening chain %s: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.chains[name]; other != nil {
		return other, nil
	}
	h.chains[name] = c
	select {
	case h.kick <- struct{}{}: // what was committed meanwhile is read now
	default:
	}
	return c, nil
}

// heartbeat makes one signed heartbeat for each partner that has an open
// stream. It runs in Run's goroutine, as poll does, so the heads are those that
// are in the rings.
func (h *Hub) heartbeat(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	made := map[string]*frame{}
	for s := range h.subs {
		f := made[s.who.Partner]
		if f == nil {
			beat := edge.Heartbeat{At: now, Epoch: h.o.Epoch, Heads: edge.Cursor{}, Checkpoint: h.note}
			f = &frame{}
			for _, f2 := range s.follows {
				beat.Heads[f2.chain.name] = f2.chain.head
				f.head = append(f.head, chainStand{f2.chain, f2.chain.head.Seq})
			}
			wire, err := beat.Seal(h.o.Signer)
			if err != nil {
				h.o.Log.ErrorContext(ctx, "no heartbeat", "err", err)
				return
			}
			// What a client that knows nothing but server-sent events resumes
			// from: all that the heartbeat counts was sent before it.
			f.wire = append([]byte("id: "+beat.Heads.String()+"\n"), event("heartbeat", wire)...)
			made[s.who.Partner] = f
		}
		s.notify()
	}
	h.beats = made
}

// checkTokens ends streams whose token may no longer be used.
func (h *Hub) checkTokens(ctx context.Context) {
	if h.o.Valid == nil {
		return
	}
	h.mu.Lock()
	by := map[string][]*subscriber{}
	for s := range h.subs {
		by[s.who.Token] = append(by[s.who.Token], s)
	}
	h.mu.Unlock()
	for _, subs := range by {
		if err := h.o.Valid(ctx, subs[0].who); err != nil && ctx.Err() == nil {
			for _, s := range subs {
				s.end("revoked", "this token was revoked or has expired; ask for a new one")
			}
		}
	}
}

func (h *Hub) closeAll(reason, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		s.end(reason, detail)
	}
}
