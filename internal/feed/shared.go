package feed

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/edge"
)

// Sharer keeps what each node of one database knows of the edges that speak to
// it, so that all of them show the same. It is telemetry: what is lost or late
// is told again.
type Sharer interface {
	// Put replaces what this node told.
	Put(ctx context.Context, doc []byte) error
	// Others returns what the other nodes told last, by the node's name.
	Others(ctx context.Context) (map[string][]byte, error)
}

const (
	// shareEvery is how often a node tells, and reads, the state of edges.
	shareEvery = 2 * time.Second
	// shareDead is how long a node's word is taken as of now: a node that was
	// stopped has no streams.
	shareDead = 4 * shareEvery
	// maxShared bounds what is read of one node: some 100,000 edges.
	maxShared = 64 << 20
)

// sharedDoc is what a node tells, as gzip of JSON.
type sharedDoc struct {
	At    time.Time    `json:"at"`
	Edges []sharedEdge `json:"edges"`
}

// sharedEdge is one edge as one node knows it.
type sharedEdge struct {
	Partner   string            `json:"partner"`
	Edge      string            `json:"edge"`
	Streams   int               `json:"streams,omitempty"`
	Via       string            `json:"via,omitempty"`
	SilentMS  int64             `json:"silent_ms"` // from its last word to At, by the node's clock
	Acked     map[string]uint64 `json:"acked,omitempty"`
	Report    edge.Report       `json:"report"`
	LastAdd   sharedReached     `json:"last_add"`
	LastDrop  sharedReached     `json:"last_drop"`
	PerMinute float64           `json:"per_minute"`

	seen time.Time // its last word, by this node's clock
	live bool      // the node that told it is there
}

type sharedReached struct {
	Signal  uint64    `json:"signal,omitempty"`
	At      time.Time `json:"at,omitzero"`
	DelayMS int64     `json:"delay_ms,omitempty"`
}

func (r sharedReached) reached() Reached {
	return Reached{Signal: r.Signal, At: r.At, Delay: time.Duration(r.DelayMS) * time.Millisecond}
}

func shareReached(r Reached) sharedReached {
	return sharedReached{r.Signal, r.At, r.Delay.Milliseconds()}
}

// peer is what another node told last.
type peer struct {
	doc     []byte
	changed time.Time // when it told something new, by this node's clock
	edges   []sharedEdge
}

// share tells what this node knows and reads what others do, until ctx ends.
func (h *Hub) share(ctx context.Context) {
	each := time.NewTicker(shareEvery)
	defer each.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			// Its streams end with it.
			h.mu.Lock()
			for _, e := range h.edges {
				e.Streams = 0
			}
			h.mu.Unlock()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = h.tellPeers(last) // others see it by its silence
			cancel()
			return
		case <-each.C:
		}
		err := errors.Join(h.tellPeers(ctx), h.hearPeers(ctx))
		if err != nil && !failed && ctx.Err() == nil {
			h.o.Log.WarnContext(ctx, "the state of edges at other nodes is not known now", "err", err)
		}
		failed = err != nil
	}
}

func (h *Hub) tellPeers(ctx context.Context) error {
	now := h.o.Now()
	doc := sharedDoc{At: now.UTC()}
	h.mu.Lock()
	for _, e := range h.edges {
		if e.LastSeen.IsZero() {
			continue // never heard here
		}
		acked := make(map[string]uint64, len(e.acked))
		for k, v := range e.acked {
			acked[k] = v
		}
		doc.Edges = append(doc.Edges, sharedEdge{
			Partner: e.Partner, Edge: e.Edge, Streams: e.Streams, Via: e.Via, SilentMS: max(0, now.Sub(e.LastSeen).Milliseconds()), Acked: acked,
			Report: e.Report, LastAdd: shareReached(e.LastAdd), LastDrop: shareReached(e.LastDrop), PerMinute: e.PerMinute,
		})
	}
	told := h.told
	h.told = len(doc.Edges) > 0
	h.mu.Unlock()
	if len(doc.Edges) == 0 && !told {
		return nil
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := errors.Join(json.NewEncoder(z).Encode(doc), z.Close()); err != nil {
		return fmt.Errorf("telling other nodes of edges: %w", err)
	}
	return h.o.Share.Put(ctx, b.Bytes())
}

func (h *Hub) hearPeers(ctx context.Context) error {
	docs, err := h.o.Share.Others(ctx)
	if err != nil {
		return fmt.Errorf("reading what other nodes know of edges: %w", err)
	}
	now := h.o.Now()
	h.mu.Lock()
	old := h.peers
	h.mu.Unlock()
	peers := make(map[string]*peer, len(docs))
	for name, doc := range docs {
		if p := old[name]; p != nil && bytes.Equal(p.doc, doc) {
			peers[name] = p
			continue
		}
		d, err2 := readShared(doc)
		if err2 != nil {
			err = errors.Join(err, fmt.Errorf("node %s: %w", name, err2))
			continue
		}
		p := &peer{doc: doc, changed: now, edges: d.Edges}
		if old[name] == nil && d.At.Before(now) { // told before this node began to listen
			p.changed = d.At
		}
		for i := range p.edges {
			p.edges[i].seen = p.changed.Add(-time.Duration(p.edges[i].SilentMS) * time.Millisecond)
		}
		peers[name] = p
	}
	// What is behind is measured against the chains, which no edge here may have
	// opened.
	chains := map[string]bool{}
	for _, p := range peers {
		for i := range p.edges {
			chains[edge.SharedChain], chains[edge.OwnChain(p.edges[i].Partner)] = true, true
		}
	}
	for name := range chains {
		if _, err2 := h.open(ctx, name); err2 != nil {
			err = errors.Join(err, err2)
		}
	}
	h.mu.Lock()
	h.peers = peers
	h.mu.Unlock()
	return err
}

func readShared(doc []byte) (d sharedDoc, err error) {
	z, err := gzip.NewReader(bytes.NewReader(doc))
	if err != nil {
		return d, err
	}
	b, err := io.ReadAll(io.LimitReader(z, maxShared))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

// elsewhere returns, of each edge, what the node that heard it last knows, if
// that is another one. The caller holds h.mu.
func (h *Hub) elsewhere() map[edgeKey]*sharedEdge {
	if len(h.peers) == 0 {
		return nil
	}
	now := h.o.Now()
	out := map[edgeKey]*sharedEdge{}
	for _, p := range h.peers {
		live := now.Sub(p.changed) < shareDead
		for i := range p.edges {
			s := &p.edges[i]
			s.live = live
			k := edgeKey{s.Partner, s.Edge}
			if old := out[k]; old == nil || s.newer(old) {
				out[k] = s
			}
		}
	}
	return out
}

// newer reports whether s is of the node that the edge spoke to later: one that
// it has a stream to, else the one that heard it last.
func (s *sharedEdge) newer(o *sharedEdge) bool {
	if a, b := s.open(), o.open(); (a > 0) != (b > 0) {
		return a > 0
	}
	return s.seen.After(o.seen)
}

// open is the number of its streams, at a node that is there.
func (s *sharedEdge) open() int {
	if !s.live {
		return 0
	}
	return s.Streams
}

// state is what is known of an edge, here or elsewhere, and what it has on its
// disk. The caller holds h.mu.
func (h *Hub) state(e *edgeState, elsewhere map[edgeKey]*sharedEdge) (s EdgeState, acked map[string]uint64) {
	s, acked = e.EdgeState, e.acked
	if o := elsewhere[edgeKey{e.Partner, e.Edge}]; o != nil {
		here := sharedEdge{Streams: e.Streams, seen: e.LastSeen, live: true}
		if e.LastSeen.IsZero() || o.newer(&here) {
			s = EdgeState{Partner: e.Partner, Edge: e.Edge, Streams: o.open(), Via: o.Via, LastSeen: o.seen, Cursor: o.Report.Cursor, Report: o.Report,
				LastAdd: o.LastAdd.reached(), LastDrop: o.LastDrop.reached(), PerMinute: o.PerMinute}
			acked = o.Acked
		}
	}
	s.Behind, s.Since = h.behind(e.Partner, acked)
	if now := h.o.Now(); now.Before(e.barred) {
		s.Report.Alarms = append(slices.Clip(s.Report.Alarms), edge.Alarm{Kind: edge.AlarmVerdict, First: now, Last: now, Count: 1,
			Text: "it sent more verdicts than the node takes from one edge; no more are taken until " + e.barred.UTC().Format("15:04") + " UTC"})
	}
	if now := h.o.Now(); now.Before(e.unheard) {
		s.Report.Alarms = append(slices.Clip(s.Report.Alarms), edge.Alarm{Kind: edge.AlarmBreaker, First: now, Last: now, Count: 1,
			Text: "reports of its circuit breaker were not taken by the node: they are too many, or none that an edge makes"})
	}
	return s, acked
}

// all returns the states of all edges that are known here or elsewhere, by
// partner and name. The caller holds h.mu.
func (h *Hub) all() []EdgeState {
	others := h.elsewhere()
	for k := range others {
		h.edge(Subscriber{Partner: k.partner, Edge: k.name})
	}
	out := make([]EdgeState, 0, len(h.edges))
	for _, e := range h.edges {
		s, _ := h.state(e, others)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b EdgeState) int {
		return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Edge, b.Edge))
	})
	return out
}
