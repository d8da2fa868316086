package feed

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// snapshots makes and keeps the newest snapshot of a chain. Live delivery
// never waits for it.
type snapshots struct {
	mu    sync.Mutex // held while one is made, so that it is made once
	state *edge.State
	bytes []byte // signed
	pos   edge.Position
	at    time.Time
	took  time.Duration

	looked bool   // for a kept one, once
	kept   uint64 // sequence number of the one on disk; 0: none
}

// snapshot returns a signed snapshot of the chain that is not older than the
// position and whose tail is still served.
func (h *Hub) snapshot(ctx context.Context, c *chain, atLeast uint64) ([]byte, edge.Position, error) {
	if h.o.Relayed != nil {
		return h.o.Relayed.Snapshot(c.name)
	}
	s := &c.snap
	s.mu.Lock()
	defer s.mu.Unlock()
	h.mu.Lock()
	head, oldest, note := c.head, c.head.Seq-uint64(len(c.ring)), h.note
	h.mu.Unlock()
	h.takeKept(ctx, c)
	if s.bytes != nil && s.pos.Seq >= atLeast && s.pos.Seq >= oldest &&
		(s.pos == head || h.o.Now().Sub(s.at) < max(time.Second, 20*s.took)) {
		return s.bytes, s.pos, nil
	}
	start := h.o.Now()
	if s.state == nil && s.bytes != nil { // kept from before the start
		var err error
		if s.state, err = edge.ReadState(bytes.NewReader(s.bytes), h.ownKeys()); err != nil {
			h.notKept(ctx, c, err)
			s.state, s.bytes, s.kept = nil, nil, 0
		}
	}
	if s.state == nil {
		s.state = edge.NewState(c.name)
	}
	for {
		var rows []journal.FeedRow
		err := h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
			rows, err = r.Feed(c.name, s.state.Position().Seq, 2*pollLimit)
			return err
		})
		if err != nil {
			return nil, edge.Position{}, fmt.Errorf("reading chain %s: %w", c.name, err)
		}
		ops, err := parse(rows)
		if err != nil {
			return nil, edge.Position{}, h.broken(ctx, c.name, err)
		}
		for i := range ops {
			op := &ops[i]
			before := s.state.Position()
			if err := s.state.Apply(op); err != nil {
				if s.state.Position() == before {
					return nil, edge.Position{}, h.broken(ctx, c.name, err)
				}
				h.o.Log.WarnContext(ctx, "signal left out of the snapshot", "signal", op.ID, "err", err)
			}
		}
		if len(rows) < 2*pollLimit {
			break
		}
	}
	var b bytes.Buffer
	b.Grow(len(s.bytes) + 4096)
	if err := s.state.WriteSnapshot(&b, h.o.Signer, h.o.Now(), note); err != nil {
		return nil, edge.Position{}, err
	}
	s.bytes, s.pos, s.at = b.Bytes(), s.state.Position(), h.o.Now()
	s.took = s.at.Sub(start)
	return s.bytes, s.pos, nil
}

// parse reads operations with all processors: it is most of the work of a
// snapshot that is made from the beginning.
func parse(rows []journal.FeedRow) ([]edge.Sealed, error) {
	ops := make([]edge.Sealed, len(rows))
	var g errgroup.Group
	each := max(64, (len(rows)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for from := 0; from < len(rows); from += each {
		g.Go(func() error {
			for i := from; i < min(from+each, len(rows)); i++ {
				op, err := edge.ParseOperation(rows[i].Op)
				if err != nil {
					return fmt.Errorf("operation %d: %w", rows[i].Seq, err)
				}
				ops[i] = op
			}
			return nil
		})
	}
	return ops, g.Wait()
}

// warm makes the shared chain's snapshot after the node's start, or takes the
// one that was kept, so that an edge that comes with an empty folder does not
// wait for it; then it keeps the snapshots of all long chains.
func (h *Hub) warm(ctx context.Context) {
	if h.o.Relayed != nil {
		return
	}
	c, err := h.open(ctx, edge.SharedChain)
	if err == nil {
		h.mu.Lock()
		head := c.head.Seq
		h.mu.Unlock()
		if head < h.o.KeepFrom {
			return
		}
		// First what can be served soonest, then the newest.
		if _, _, err = h.snapshot(ctx, c, 0); err == nil {
			_, _, err = h.snapshot(ctx, c, head)
		}
	}
	if err != nil && ctx.Err() == nil {
		h.o.Log.WarnContext(ctx, "a snapshot is made when an edge asks for it", "err", err)
	}
}

// serveSnapshot is GET /api/v1/feed/snapshot: the snapshots of the edge's
// chains, one after the other.
func (h *Hub) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	who, err := h.o.Authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	cursor, err := edge.ParseCursor(r.URL.Query().Get("cursor"))
	if err != nil {
		h.fail(w, r, refusal{"garbage", problem.New(problem.Invalid, "this cursor cannot be read", "send the cursor exactly as it was received, or none").Because(err)})
		return
	}
	nonce := r.URL.Query().Get("nonce")
	if len(nonce) > maxNonce {
		h.fail(w, r, errNonce)
		return
	}
	granted, err := h.features(r.URL.Query().Get("features"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	hello := edge.Hello{Nonce: nonce, Partner: who.Partner, Edge: who.Edge, Epoch: h.o.Epoch, Heads: edge.Cursor{}, Known: cursor, Features: granted,
		HeartbeatMS: h.o.Heartbeat.Milliseconds(), AckMS: h.o.AckEvery.Milliseconds()}
	var parts [][]byte
	size := 0
	for _, name := range []string{edge.SharedChain, edge.OwnChain(who.Partner)} {
		c, err := h.open(r.Context(), name)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		known, err := h.knows(r.Context(), c, cursor[name])
		if err != nil {
			h.fail(w, r, err)
			return
		}
		if !known && h.o.Relayed != nil {
			// Only the node has all of its history.
			h.o.Relayed.Above.ServeHTTP(w, r)
			return
		}
		if !known {
			hello.Known = nil
		}
		b, pos, err := h.snapshot(r.Context(), c, cursor[name].Seq)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		if pos.Seq < cursor[name].Seq && h.o.Relayed != nil {
			h.o.Relayed.Above.ServeHTTP(w, r)
			return
		}
		hello.Heads[name] = pos
		parts, size = append(parts, b), size+len(b)
	}
	if err := h.reach(r.Context(), nil); err != nil { // another node may have shown a newer checkpoint
		h.fail(w, r, err)
		return
	}
	if h.o.Relayed == nil { // as with streams
		h.mu.Lock()
		hello.Checkpoint = h.note
		h.mu.Unlock()
	}
	hello.At = h.o.Now()
	sealed, err := hello.Seal(h.o.Signer)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if h.o.Relayed != nil {
		w.Header().Set("Siaga-Relay", base64.RawURLEncoding.EncodeToString(h.o.Relayed.Certificate(who.Partner)))
	}
	w.Header().Set("Siaga-Hello", base64.RawURLEncoding.EncodeToString(sealed))
	w.Header().Set("Content-Type", "application/vnd.siaga.snapshot")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	for _, p := range parts {
		for len(p) > 0 {
			n := min(len(p), 1<<20)
			_ = rc.SetWriteDeadline(time.Now().Add(h.o.Stall)) // as in pump
			if _, err := w.Write(p[:n]); err != nil {
				return // the edge is gone
			}
			p = p[n:]
		}
	}
}

// serveKeys is GET /api/v1/feed/keys: the set of keys, signed by the root key.
func (h *Hub) serveKeys(w http.ResponseWriter, r *http.Request) {
	if _, err := h.o.Authenticate(r); err != nil {
		h.fail(w, r, err)
		return
	}
	h.mu.Lock()
	keys := h.o.Keys
	h.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(keys) // the edge may be gone
}
