package feed

import (
	"net/http"

	"github.com/siaga-crp/siaga/edge"
)

// Relayed is what a relay's hub takes from the node above it: a relay signs
// nothing but greetings.
type Relayed struct {
	// Base is where the store's part of a chain begins: the position of its
	// snapshot.
	Base func(chain string) edge.Position
	// Certificate is the node's word on the relay's key, for a partner's edges.
	Certificate func(partner string) []byte
	// Beat returns the newest heartbeat of the node for a partner's edges, as
	// it was signed, and the heads that it names.
	Beat func(partner string) (sealed []byte, heads edge.Cursor, ok bool)
	// Snapshot returns the node's snapshot of a chain.
	Snapshot func(chain string) ([]byte, edge.Position, error)
	// Above answers requests that the relay cannot: it passes them on.
	Above http.Handler
	// Tell passes an edge's report on, later: body is what it sent.
	Tell func(r *http.Request, body []byte)
}

// Refresh makes the hub look for news.
func (h *Hub) Refresh() { h.look() }

// relayBeats takes the node's newest heartbeats, as far as all that they count
// is in the rings. It runs in Run's goroutine.
func (h *Hub) relayBeats() {
	if h.o.Relayed == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	partners := map[string][]follow{}
	for s := range h.subs {
		partners[s.who.Partner] = s.follows
	}
	some := map[string]bool{}
	for partner, follows := range partners {
		sealed, heads, ok := h.o.Relayed.Beat(partner)
		if !ok {
			continue
		}
		if old := h.beats[partner]; old != nil && string(old.sealed) == string(sealed) {
			continue
		}
		f := &frame{sealed: sealed, wire: append([]byte("id: "+heads.String()+"\n"), event("heartbeat", sealed)...)}
		for _, fo := range follows {
			p := heads[fo.chain.name]
			if p.Seq > fo.chain.head.Seq {
				ok = false
				break
			}
			f.head = append(f.head, chainStand{fo.chain, p.Seq})
		}
		if ok {
			h.beats[partner] = f
			some[partner] = true
		}
	}
	for s := range h.subs {
		if some[s.who.Partner] {
			s.notify()
		}
	}
}
