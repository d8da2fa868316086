package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
)

// Line carries operations between nodes, and to relays, faster than the store
// does. It is transport only: what it brings is checked like anything from
// outside, and what it loses is found in the store.
type Line interface {
	// Send hands on a committed operation. It does not block: what does not
	// fit is dropped, and found by its number.
	Send(chain string, seq uint64, wire []byte)
	// Beat hands on a partner's heartbeat in the same manner.
	Beat(partner string, sealed []byte)
	// Up reports whether the line works now.
	Up() bool
}

// Drafts notes which operations this node has put into transactions, so that
// the hub looks for them at once and hands them to the line. The zero value is
// ready; a nil one notes nothing.
type Drafts struct {
	mu   sync.Mutex
	from map[string]draft // by chain
}

type draft struct {
	seq uint64 // the first one that is not sent yet
	at  time.Time
}

// draftFor is how long a drafted operation is waited for: longer than a
// transaction takes, which may also have been given up.
const draftFor = time.Minute

func (d *Drafts) note(chain string, seq uint64, at time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == nil {
		d.from = map[string]draft{}
	}
	if old, ok := d.from[chain]; !ok || seq < old.seq || at.Sub(old.at) > draftFor {
		d.from[chain] = draft{seq, at}
	}
}

// waiting reports whether anything of this node's is to be looked for.
func (d *Drafts) waiting() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.from) > 0
}

// chains returns those with drafts, and forgets drafts that were given up.
func (d *Drafts) chains(now time.Time) []string {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for chain, f := range d.from {
		if now.Sub(f.at) > draftFor {
			delete(d.from, chain)
			continue
		}
		out = append(out, chain)
	}
	return out
}

// send hands this node's own operations among the rows, which are of one
// chain, to the line.
func (d *Drafts) send(rows []journal.FeedRow, line Line) {
	if d == nil || line == nil || len(rows) == 0 {
		return
	}
	chain, last := rows[0].Chain, rows[len(rows)-1].Seq
	d.mu.Lock()
	from, ok := d.from[chain]
	if ok && last >= from.seq {
		delete(d.from, chain)
	}
	d.mu.Unlock()
	if !ok {
		return
	}
	for _, r := range rows {
		if r.Seq >= from.seq {
			line.Send(chain, r.Seq, r.Op)
		}
	}
}

// openDrafted opens the chains in which this node has written, so that the
// line carries them even if no edge of this node follows them.
func (h *Hub) openDrafted(ctx context.Context) error {
	if h.o.Line == nil {
		return nil
	}
	for _, name := range h.o.Drafts.chains(h.o.Now()) {
		h.mu.Lock()
		_, open := h.chains[name]
		h.mu.Unlock()
		if open {
			continue
		}
		c, err := h.open(ctx, name)
		if errors.Is(err, errDamaged) {
			continue // said; the other chains go on
		}
		if err != nil {
			return err
		}
		// What was drafted is in the ring already, and handed on from there.
		var rows []journal.FeedRow
		err = h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
			rows, err = r.Feed(name, c.seen.Seq-min(c.seen.Seq, pollLimit), pollLimit)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading chain %s: %w", name, err)
		}
		h.o.Drafts.send(rows, h.o.Line)
	}
	return nil
}

// earlyFor is how long an operation may be known by the line alone.
const earlyFor = 15 * time.Second

// Deliver takes an operation from the line. It is used if it is signed by this
// feed, of this node's epoch, and the next of its chain; everything else is
// left to the store. It never blocks for long and may be called concurrently.
func (h *Hub) Deliver(chain string, wire []byte) {
	if h.keyset == nil {
		return
	}
	h.mu.Lock()
	c := h.chains[chain]
	h.mu.Unlock()
	if c == nil {
		return // nobody here follows it
	}
	op, err := edge.ParseOperation(wire)
	if err != nil || op.Chain != chain || op.Epoch != h.o.Epoch {
		return
	}
	h.mu.Lock()
	old := op.Seq <= c.head.Seq
	h.mu.Unlock()
	if old {
		return
	}
	if err := h.keyset.Verify(&op); err != nil {
		h.o.Log.Warn("the line between nodes brought an operation that this feed has not signed: refused", "chain", chain, "seq", op.Seq)
		return
	}
	f := &frame{wire: event("op", wire), at: op.Position()}
	now := h.o.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.chains[chain] != c || op.Follows(c.head) != nil {
		if op.Seq > c.head.Seq+1 {
			h.look() // some are missing in between
		}
		return
	}
	if len(c.early) == 0 {
		c.since = now
	}
	c.early = append(c.early, op.Position())
	c.extend([]*frame{f}, []opStat{{seq: op.Seq, signal: op.Number, do: op.Do, at: now}}, op.Position(), h.o.Ring, h.o.RingBytes)
	for s := range h.subs {
		s.notify()
	}
}

// confirm compares operations read from the store with those that came by the
// line, and returns those that are new. It returns false if they differ. The
// caller holds Hub.mu.
func (c *chain) confirm(fs []*frame, st []opStat) ([]*frame, []opStat, bool) {
	n := min(len(c.early), len(fs))
	for i := range n {
		if fs[i].at != c.early[i] {
			return nil, nil, false
		}
	}
	c.early = slices.Delete(c.early, 0, n)
	return fs[n:], st[n:], true
}

// disown forgets a chain of which the line brought an operation that the store
// does not have: of another history, signed by the same key. Its streams begin
// again; the edges then find out by themselves. The caller holds h.mu.
func (h *Hub) disown(ctx context.Context, c *chain) {
	h.o.Log.ErrorContext(ctx, "the line between nodes brought an operation that the database does not have; its chain is read anew", "chain", c.name, "seq", c.early[0].Seq)
	if h.chains[c.name] == c { // not one that was opened since
		delete(h.chains, c.name)
	}
	for s := range h.subs {
		for i := range s.follows {
			if s.follows[i].chain == c {
				s.end("restart", "the node reads its operations anew; connect again")
			}
		}
	}
}
