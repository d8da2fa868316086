package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Subscriber is who a stream is for, as its token says.
type Subscriber struct {
	Partner string // ID
	Edge    string // name of the edge, unique for its partner
	Token   string // ID of the token, not its text
	Relay   bool   // the token is a relay's
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
	// Valid says, for each of the subscribers, until when its token may go on
	// being used (zero: no end), or why it may not. It is asked within a second
	// of each commit and of the earliest of those ends, for one subscriber of
	// each token with an open stream. An error of its own ends no stream.
	Valid func(ctx context.Context, subs []Subscriber) ([]Validity, error)
	// Grants lists the edges that a relay may serve. Nil: no relays.
	Grants func(ctx context.Context, relay Subscriber) ([]edge.EdgeGrant, error)
	// Error answers a request with a problem.
	Error func(w http.ResponseWriter, r *http.Request, err error)
	// Known lists the edges that exist, whether they ever connected or not, so
	// that the silent ones are counted too. Nil: those that connected.
	Known func(ctx context.Context) ([]Subscriber, error)
	// Tallies takes what edges counted. Nil: counts are refused as Unavailable.
	Tallies TallyStore
	// Verdicts takes what platforms found about matches. Nil: as Tallies.
	Verdicts VerdictStore
	// Tripped is told when an edge's circuit breaker turned a signal to review
	// there. Nil: it is only shown in the edge's state.
	Tripped func(ctx context.Context, by Subscriber, trip edge.Trip) error

	// Share tells the other nodes of the database of the edges at this one. Nil:
	// this is the only node.
	Share Sharer

	// Line carries operations to and from other nodes faster than the store
	// does. Nil: the store alone.
	Line Line
	// Drafts notes what this node's own Publisher appended, so that it is
	// looked for at once and handed to the line. Nil without a line.
	Drafts *Drafts
	// Relayed makes the hub serve what another node has signed. Nil: a node's.
	Relayed *Relayed

	// Keep is a folder for the last snapshot of each long chain, so that it need
	// not be made from the beginning after a start. It is made when it is needed;
	// nodes of one database may share it. "": none is kept.
	Keep string
	// KeepFrom is the number of operations from which on a chain counts as long,
	// and since the last kept snapshot from which on the next is kept; 0 means
	// 20,000.
	KeepFrom uint64

	Heartbeat time.Duration // interval; 0 means 5 s
	Ping      time.Duration // interval of comments that show that the node lives, to edges that ask for them; 0 means 750 ms
	Ring      int           // operations of a chain that are kept ready; 0 means 8192
	RingBytes int           // bytes of the same; 0 means 16 MiB a chain
	MaxTail   uint64        // operations that a cursor may be behind; beyond it, the snapshot; 0 means 50,000
	MaxEdges  int           // open streams; 0 means 10,000
	PerToken  int           // open streams of one token, the oldest gives way; 0 means 4; a relay may have four times as many
	Stall     time.Duration // how long a write to one edge may hang; 0 means 10 s
	AckEvery  time.Duration // least interval of an edge's acknowledgements; 0 means 200 ms, more with many edges
}

// Hub delivers operations to edges. Make one with New, run it with Run, and
// mount its routes. All methods may be called concurrently.
type Hub struct {
	o       Options
	kick    chan struct{} // look again; capacity 1
	recheck chan struct{} // look at the tokens; capacity 1
	keyset  *edge.Keys    // to check what the line brings; nil without a line
	reached reached

	mu     sync.Mutex
	polled chan struct{} // closed and replaced when Run has looked at the store
	chains map[string]*chain
	made   time.Time
	subs   map[*subscriber]struct{}
	tokens map[string][]*subscriber // the same by token, the oldest first; without those that gave way
	keys   *frame                   // event "keys"
	note   string                   // newest checkpoint seen
	noteAt int64                    // its size
	pings  uint64                   // counts them
	edges  map[edgeKey]*edgeState
	beats  map[string]*frame // last heartbeat, by partner
	closed bool              // Run has ended
	peers  map[string]*peer  // other nodes, by name
	told   bool              // others were told of edges

	damaged map[string]error // chains with an operation that cannot be read, and why
}

// chain is one chain as the hub follows it.
type chain struct {
	name string

	// Owned by Hub.mu.
	head  edge.Position
	seen  edge.Position   // up to here, operations were seen in the store
	early []edge.Position // those of the ring after it: they came by the line
	since time.Time       // when the first of them came
	ring  []*frame        // operations head.Seq-len(ring)+1 … head.Seq
	bytes int             // of their frames
	stats []opStat        // of the same operations

	snap snapshots
}

// frame is one event as it is sent, made once and shared by all subscribers.
type frame struct {
	wire []byte
	at   edge.Position // after it, of an operation
	head []chainStand  // of a heartbeat: where its chains stood
	// Of a heartbeat, as it was signed.
	sealed []byte
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
	if o.Ping == 0 {
		o.Ping = 750 * time.Millisecond
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
	if o.KeepFrom == 0 {
		o.KeepFrom = 20_000
	}
	if o.PerToken == 0 {
		o.PerToken = 4
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
	h := &Hub{o: o, made: o.Now(), kick: make(chan struct{}, 1), recheck: make(chan struct{}, 1), polled: make(chan struct{}), chains: map[string]*chain{}, subs: map[*subscriber]struct{}{}, tokens: map[string][]*subscriber{}, edges: map[edgeKey]*edgeState{}, beats: map[string]*frame{}, reached: newReached(), damaged: map[string]error{}}
	h.keys = &frame{wire: event("keys", o.Keys)}
	if o.Line != nil {
		// Nodes of one database share the feed's key.
		h.keyset = &edge.Keys{Feed: []edge.FeedKey{{Public: o.Signer.Public()}}}
	}
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

// lazyPoll is how long a commit of another node may wait to be looked for in
// the store while the line, which is faster, works.
const lazyPoll = 200 * time.Millisecond

// Run follows the store until ctx ends, then closes every stream and returns.
func (h *Hub) Run(ctx context.Context) error {
	defer h.closeAll("restart", "the node is stopping; connect again")
	var checks sync.WaitGroup
	checks.Go(func() { h.watchTokens(ctx) })
	checks.Go(func() {
		h.warm(ctx)
		h.keepAll(ctx)
	})
	if h.o.Share != nil {
		checks.Go(func() { h.share(ctx) })
	}
	defer checks.Wait()

	beat := time.NewTicker(h.o.Heartbeat)
	defer beat.Stop()
	ping := time.NewTicker(h.o.Ping)
	defer ping.Stop()
	var later <-chan time.Time // a look at the store that was put off
	var commit <-chan struct{} // closed by the next commit that was not heeded yet
	look := true
	for {
		if look {
			// Asked for before the look, and kept until it fires: a commit during
			// whatever else is done here is not missed.
			commit = h.o.Store.Committed()
			later, look = nil, false
			if err := h.poll(ctx); err != nil && ctx.Err() == nil {
				h.o.Log.ErrorContext(ctx, "feed stands still: reading operations", "err", err)
				later = time.After(lazyPoll)
			}
			h.relayBeats()
			h.tellPolled()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-commit:
			// What this node wrote is wanted at once; what others wrote comes by
			// the line, and the store is looked at a little later to be sure.
			commit = h.o.Store.Committed()
			if h.o.Line == nil || !h.o.Line.Up() || h.o.Drafts.waiting() {
				look = true
			} else if later == nil {
				later = time.After(lazyPoll)
			}
		case <-later:
			look = true
		case <-h.kick:
			look = true
		case <-beat.C:
			look = true
			h.heartbeat(ctx)
		case <-ping.C:
			h.ping()
		}
	}
}

func (h *Hub) look() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

func (h *Hub) tellPolled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.polled)
	h.polled = make(chan struct{})
}

// poll reads new operations of all open chains and wakes their subscribers.
func (h *Hub) poll(ctx context.Context) error {
	if err := h.openDrafted(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	open := make([]*chain, 0, len(h.chains))
	heads := make([]edge.Position, 0, len(h.chains))
	for _, c := range h.chains {
		open, heads = append(open, c), append(heads, c.seen)
	}
	h.mu.Unlock()
	for {
		more := false
		type news struct {
			c    *chain
			rows []journal.FeedRow
			fs   []*frame
			st   []opStat
			to   edge.Position
		}
		var all []news
		var note []byte
		damaged := map[string]error{}
		err := h.o.Store.View(ctx, func(r journal.StoreReader) error {
			all, more = all[:0], false
			clear(damaged)
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
					if err == nil {
						err = op.Follows(n.to)
					}
					if err != nil { // up to here, and the other chains, go on
						damaged[c.name] = fmt.Errorf("operation %d: %w", row.Seq, err)
						break
					}
					n.to = op.Position()
					n.rows = append(n.rows, row)
					n.fs = append(n.fs, &frame{wire: event("op", row.Op), at: n.to})
					n.st = append(n.st, opStat{seq: op.Seq, signal: op.Number, do: op.Do, at: now})
				}
				more = more || len(rows) == pollLimit && damaged[c.name] == nil
				if len(n.rows) > 0 {
					all = append(all, n)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for name, err := range damaged {
			_ = h.broken(ctx, name, err) // said, and told to who asks for it
		}
		h.mu.Lock()
		h.observe(note)
		some := false
		for _, n := range all {
			if h.chains[n.c.name] != n.c {
				continue // disowned meanwhile; one of that name may be open anew
			}
			fs, st, ok := n.c.confirm(n.fs, n.st)
			if !ok {
				h.disown(ctx, n.c)
				continue
			}
			if len(fs) > 0 {
				n.c.extend(fs, st, n.to, h.o.Ring, h.o.RingBytes)
				some = true
			}
			n.c.seen = n.to
			for i, c := range open {
				if c == n.c {
					heads[i] = n.to
				}
			}
		}
		if some {
			for s := range h.subs {
				s.notify()
			}
		}
		for i := len(open) - 1; i >= 0; i-- {
			if h.chains[open[i].name] != open[i] { // its rows are not asked for again
				open, heads = slices.Delete(open, i, i+1), slices.Delete(heads, i, i+1)
			}
		}
		h.mu.Unlock()
		for _, n := range all {
			h.o.Drafts.send(n.rows, h.o.Line)
		}
		if !more {
			return nil
		}
	}
}

// errDamaged: an operation in the store is not what was written.
var errDamaged = errors.New("feed: a stored operation is damaged")

// broken notes that a chain has an operation that cannot be read, and returns
// what those are told who ask for it. Other chains go on.
func (h *Hub) broken(ctx context.Context, name string, err error) error {
	h.mu.Lock()
	_, known := h.damaged[name]
	h.damaged[name] = err
	h.mu.Unlock()
	if !known {
		h.o.Log.ErrorContext(ctx, "a chain of the feed is damaged in the store and stands still; stop the node and run \"siaga log rebuild\"", "chain", name, "err", err)
	}
	return problem.New(problem.Unavailable, "the feed is damaged in this node's store", "go on with what the edge has; the operator mends it with siaga log rebuild").Because(fmt.Errorf("%w: %w", errDamaged, err))
}

// Damaged lists the chains that stand still because an operation in the store
// is damaged.
func (h *Hub) Damaged() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.damaged))
}

// observe keeps the newest checkpoint: with several nodes, an edge that comes
// from another one must not be shown an older one. The caller holds h.mu.
func (h *Hub) observe(note []byte) {
	size := noteSize(note)
	if size >= h.noteAt {
		h.note, h.noteAt = string(note), size
	}
}

// noteSize is the size that a checkpoint names (C2SP tlog-checkpoint); 0 if
// there is none.
func noteSize(note []byte) int64 {
	_, rest, _ := bytes.Cut(note, []byte("\n"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return 0
	}
	return n
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
		*c = chain{name: name} // the store may run this again
		if h.o.Relayed != nil {
			c.head = h.base(c)
		}
		row, ok, err := r.FeedHead(name)
		if err != nil || !ok {
			return err
		}
		after := max(c.head.Seq, row.Seq-min(row.Seq, uint64(h.o.Ring)/2)) //nolint:gosec // positive
		var last edge.Position
		for {
			rows, err := r.Feed(name, after, pollLimit)
			if err != nil {
				return err
			}
			for _, row := range rows {
				op, err := edge.ParseOperation(row.Op)
				if err == nil && len(c.ring) > 0 {
					err = op.Follows(last)
				}
				if err != nil {
					return fmt.Errorf("%w: operation %d: %w", errDamaged, row.Seq, err)
				}
				last = op.Position()
				c.extend([]*frame{{wire: event("op", row.Op), at: last}}, []opStat{{seq: op.Seq, signal: op.Number, do: op.Do}}, last, h.o.Ring, h.o.RingBytes)
				after = row.Seq
			}
			if len(rows) < pollLimit {
				return nil
			}
		}
	})
	if errors.Is(err, errDamaged) {
		return nil, h.broken(ctx, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening chain %s: %w", name, err)
	}
	c.seen = c.head
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.chains[name]; other != nil {
		return other, nil
	}
	h.chains[name] = c
	h.look() // what was committed meanwhile is read now
	return c, nil
}

// heartbeat makes one signed heartbeat for each partner that has an open
// stream. It runs in Run's goroutine, as poll does, so the heads are those that
// are in the rings.
func (h *Hub) heartbeat(ctx context.Context) {
	if h.o.Relayed != nil {
		return // a relay passes on the node's
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.chains {
		if len(c.early) > 0 && h.o.Now().Sub(c.since) > earlyFor {
			h.disown(ctx, c)
		}
	}
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
			f.sealed = wire
			f.wire = append([]byte("id: "+beat.Heads.String()+"\n"), event("heartbeat", wire)...)
			made[s.who.Partner] = f
		}
		s.notify()
	}
	h.beats = made
	if h.o.Line != nil {
		for partner, f := range made {
			h.o.Line.Beat(partner, f.sealed)
		}
	}
}

// ping wakes the streams that asked for signs of life.
func (h *Hub) ping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pings++
	for s := range h.subs {
		if s.pings > 0 {
			s.notify()
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
