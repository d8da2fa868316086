package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/problem"
)

type edgeKey struct{ partner, name string }

// EdgeState is what the node knows of one edge.
type EdgeState struct {
	Partner   string
	Edge      string
	Streams   int         // open now; more than one: two edges share a token
	Via       string      // the relay that passed its last report on; "": none
	LastSeen  time.Time   // last word from it; zero: never
	Cursor    edge.Cursor // last acknowledged: it is on the edge's disk
	Behind    uint64      // operations that it has not acknowledged
	Since     time.Time   // of the oldest of those, as this node saw it first; zero: none
	Report    edge.Report // last one
	LastAdd   Reached     // last addition that it acknowledged
	LastDrop  Reached     // last removal
	PerMinute float64     // matches, as it reported them
}

// Reached is one operation's arrival at one edge.
type Reached struct {
	Signal uint64
	At     time.Time     // of the operation, as this node saw it first
	Delay  time.Duration // from then to the acknowledgement
}

type edgeState struct {
	EdgeState
	acked map[string]uint64 // by chain: the newest operation on its disk
	most  map[string]uint64 // the same, never falling: an edge that lost its folder acknowledges again

	barred  time.Time        // until then no verdicts of it are taken
	heard   map[uint64]int64 // trips of its last report that were passed on: entry by number of the signal
	deaf    time.Time        // until then none are
	crowded time.Time        // when it was said that it has too many streams
	unheard time.Time        // until then it is said that reports of its circuit breaker were not taken
}

// opStat is what is known of one operation's way.
type opStat struct {
	seq    uint64
	signal uint64
	do     edge.Do
	at     time.Time // when this node saw it; zero: before it started
	delays []uint32  // milliseconds until each edge acknowledged it, in that order
}

// maxDelays bounds the edges whose delays are kept for one operation, and
// keepDelays the operations of a chain for which they are.
const (
	maxDelays  = 20_000
	keepDelays = 256
)

// Reach is how far the newest operation on a signal has come.
type Reach struct {
	Do      edge.Do
	At      time.Time       // of the operation, as this node saw it first; zero: before it started
	Edges   int             // known edges that it is for, at any node
	Reached int             // of them, that have it on their disk
	Delays  []time.Duration // from At to each acknowledgement, rising, to the millisecond; of the newest operations only
	Missing []Subscriber    // those that have not, by partner and name
}

// connected notes that a stream was opened or closed. The caller holds h.mu.
func (h *Hub) connected(who Subscriber, open bool) {
	if who.Relay {
		return // no edge: it acknowledges nothing, and its edges report themselves
	}
	e := h.edge(who)
	if open {
		e.Streams++
	} else {
		e.Streams--
	}
	e.LastSeen = h.o.Now()
}

// edge returns the state of an edge. The caller holds h.mu.
func (h *Hub) edge(who Subscriber) *edgeState {
	k := edgeKey{who.Partner, who.Edge}
	e := h.edges[k]
	if e == nil {
		e = &edgeState{EdgeState: EdgeState{Partner: who.Partner, Edge: who.Edge}, acked: map[string]uint64{}, most: map[string]uint64{}}
		h.edges[k] = e
	}
	return e
}

// Edges returns all edges that are known, by partner and name, at whichever node
// of the database they are: what others know is some seconds old.
func (h *Hub) Edges(ctx context.Context) ([]EdgeState, error) {
	var known []Subscriber
	if h.o.Known != nil {
		var err error
		if known, err = h.o.Known(ctx); err != nil {
			return nil, fmt.Errorf("listing edges: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, who := range known {
		h.edge(who)
	}
	return h.all(), nil
}

// Reach returns how far the newest operation on a signal in a chain has come;
// false if it is older than what the hub remembers.
func (h *Hub) Reach(chainName string, signal uint64) (Reach, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.chains[chainName]
	if c == nil {
		return Reach{}, false
	}
	for i := len(c.stats) - 1; i >= 0; i-- {
		st := &c.stats[i]
		if st.signal != signal {
			continue
		}
		r := Reach{Do: st.do, At: st.at}
		others := h.elsewhere()
		for _, e := range h.edges {
			if chainName != edge.SharedChain && chainName != edge.OwnChain(e.Partner) {
				continue
			}
			r.Edges++
			if s, acked := h.state(e, others); acked[chainName] >= st.seq {
				r.Reached++
				// Others tell how long their edges took for the last one only.
				last := s.LastDrop
				if st.do == edge.Add {
					last = s.LastAdd
				}
				if e.most[chainName] < st.seq && last.Signal == signal {
					r.Delays = append(r.Delays, last.Delay)
				}
			} else {
				r.Missing = append(r.Missing, Subscriber{Partner: e.Partner, Edge: e.Edge})
			}
		}
		for _, d := range st.delays {
			r.Delays = append(r.Delays, time.Duration(d)*time.Millisecond)
		}
		slices.Sort(r.Delays)
		slices.SortFunc(r.Missing, func(a, b Subscriber) int {
			return cmp.Or(cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Edge, b.Edge))
		})
		return r, true
	}
	return Reach{}, false
}

const maxReport = 256 << 10

// viaHeader names the relay that passes a request on.
const viaHeader = "Siaga-Via"

// serveStatus is POST /api/v1/feed/status: an edge acknowledges its cursor and
// says how it is.
func (h *Hub) serveStatus(w http.ResponseWriter, r *http.Request) {
	who, err := h.o.Authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	var rep edge.Report
	body, err := decode(w, r, &rep)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if h.o.Relayed != nil {
		h.o.Relayed.Tell(r, body)
	}
	if err := h.hear(r.Context(), who, rep.Trips); err != nil {
		h.fail(w, r, err)
		return
	}
	h.acknowledge(who, rep, r.Header.Get(viaHeader))
	w.WriteHeader(http.StatusNoContent)
}

// maxHear bounds the trips of one report that are looked at; the others are when
// the edge reports next.
const maxHear = 20

// hear passes trips on that were not passed on before. What cannot be now, as
// the edge has reported too many, is when it may again.
func (h *Hub) hear(ctx context.Context, who Subscriber, trips []edge.Trip) error {
	if h.o.Tripped == nil {
		return nil
	}
	now := h.o.Now()
	h.mu.Lock()
	e := h.edge(who)
	before, deaf := e.heard, now.Before(e.deaf)
	h.mu.Unlock()
	heard, asked, until := make(map[uint64]int64, len(trips)), 0, time.Time{}
	for _, t := range trips {
		if entry, ok := before[t.Number]; ok && entry == t.Entry {
			heard[t.Number] = t.Entry
			continue
		}
		if deaf || asked >= maxHear {
			continue
		}
		asked++
		err := h.o.Tripped(ctx, who, t)
		switch problem.KindOf(err) {
		case "":
		case problem.Invalid, problem.Denied:
			h.unheard(ctx, who, err)
		case problem.Busy:
			h.unheard(ctx, who, err)
			wait := time.Minute
			if p, ok := errors.AsType[*problem.Error](err); ok && p.Wait > 0 {
				wait = p.Wait
			}
			deaf, until = true, now.Add(wait)
			continue
		default:
			return err
		}
		heard[t.Number] = t.Entry
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.heard = heard
	if !until.IsZero() {
		e.deaf = until
	}
	return nil
}

func (h *Hub) acknowledge(who Subscriber, rep edge.Report, via string) {
	now := h.o.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.edge(who)
	e.LastSeen, e.Report, e.PerMinute, e.Via = now, rep, rep.PerMinute, via[:min(len(via), 100)]
	for _, name := range []string{edge.SharedChain, edge.OwnChain(who.Partner)} {
		c, p := h.chains[name], rep.Cursor[name]
		if c == nil || p.Seq > c.head.Seq {
			continue // a cursor that we do not know acknowledges nothing
		}
		from := e.most[name]
		e.acked[name], e.most[name] = p.Seq, max(from, p.Seq)
		first := c.head.Seq - uint64(len(c.ring)) + 1
		for seq := max(from+1, first); seq <= p.Seq; seq++ {
			st := &c.stats[seq-first]
			if st.at.IsZero() {
				continue
			}
			if len(st.delays) < maxDelays && c.head.Seq-seq < keepDelays {
				st.delays = append(st.delays, uint32(min(now.Sub(st.at).Milliseconds(), math.MaxUint32))) //nolint:gosec // bounded
			}
			reached := Reached{Signal: st.signal, At: st.at, Delay: now.Sub(st.at)}
			h.reached.observe(st.do, reached.Delay)
			if st.do == edge.Add {
				e.LastAdd = reached
			} else {
				e.LastDrop = reached
			}
		}
	}
	e.Cursor = rep.Cursor
}

// TallyStore keeps what edges counted.
type TallyStore interface {
	// AddTallies adds the counts once: a batch that was added before, by the
	// same edge under the same ID, changes nothing and is no error. When it
	// returns nil the counts are durable.
	AddTallies(ctx context.Context, by Subscriber, batch string, counts []edge.Tally) error
}

// serveTallies is POST /api/v1/feed/tallies.
func (h *Hub) serveTallies(w http.ResponseWriter, r *http.Request) {
	who, err := h.o.Authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if h.o.Relayed != nil {
		// Counted once, by the node: it alone can say that a batch is durable.
		h.o.Relayed.Above.ServeHTTP(w, r)
		return
	}
	if h.o.Tallies == nil {
		h.fail(w, r, problem.New(problem.Unavailable, "this node keeps no tallies", "go on; nothing is lost by not sending them"))
		return
	}
	var t edge.TallyBatch
	if _, err := decode(w, r, &t); err != nil {
		h.fail(w, r, err)
		return
	}
	if t.Batch == "" || len(t.Batch) > 100 || len(t.Counts) > edge.MaxTallyBatch {
		h.fail(w, r, problem.Newf(problem.Invalid, "a batch has an ID of up to 100 characters and up to %d counts", edge.MaxTallyBatch).WithFix("send smaller batches"))
		return
	}
	for _, c := range t.Counts {
		if c.Count < 0 || c.Count > 1<<40 || len(c.Signal) > 200 || len(c.Pass) > 100 {
			h.fail(w, r, problem.New(problem.Invalid, "a count is out of range", "send counts from 0 up"))
			return
		}
	}
	if err := h.o.Tallies.AddTallies(r.Context(), who, t.Batch, t.Counts); err != nil {
		h.fail(w, r, err)
		return
	}
	h.mu.Lock()
	h.edge(who).LastSeen = h.o.Now()
	h.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// VerdictStore keeps what platforms found about matches.
type VerdictStore interface {
	// AddVerdicts adds the counts once, as AddTallies does. unknown names
	// signals that the edge's partner does not have; they are not counted.
	AddVerdicts(ctx context.Context, by Subscriber, batch string, counts []edge.VerdictCount) (unknown []string, err error)
}

// serveVerdicts is POST /api/v1/feed/verdicts.
func (h *Hub) serveVerdicts(w http.ResponseWriter, r *http.Request) {
	who, err := h.o.Authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if h.o.Relayed != nil {
		h.o.Relayed.Above.ServeHTTP(w, r) // counted once, by the node
		return
	}
	if h.o.Verdicts == nil {
		h.fail(w, r, problem.New(problem.Unavailable, "this node keeps no verdicts", "go on; nothing is lost by not sending them"))
		return
	}
	var b edge.VerdictBatch
	if _, err := decode(w, r, &b); err != nil {
		h.fail(w, r, err)
		return
	}
	if b.Batch == "" || len(b.Batch) > 100 || len(b.Verdicts) > edge.MaxTallyBatch {
		h.fail(w, r, problem.Newf(problem.Invalid, "a batch has an ID of up to 100 characters and up to %d counts", edge.MaxTallyBatch).WithFix("send smaller batches"))
		return
	}
	unknown, err := h.o.Verdicts.AddVerdicts(r.Context(), who, b.Batch, b.Verdicts)
	if err != nil {
		h.tooMany(r.Context(), who, err)
		h.fail(w, r, err)
		return
	}
	h.mu.Lock()
	h.edge(who).LastSeen = h.o.Now()
	h.mu.Unlock()
	answer := edge.VerdictAnswer{Unknown: []string{}}
	for _, s := range unknown[:min(len(unknown), 20)] {
		answer.Unknown = append(answer.Unknown, s[:min(len(s), 200)])
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the edge asks again if it did not get it
}

// unheard tells people, once an hour, that reports of an edge's circuit breaker
// are not taken, as they are too many or none that an edge of ours makes.
func (h *Hub) unheard(ctx context.Context, who Subscriber, err error) {
	now := h.o.Now()
	h.mu.Lock()
	e := h.edge(who)
	known := now.Before(e.unheard)
	if !known {
		e.unheard = now.Add(time.Hour)
	}
	h.mu.Unlock()
	if !known {
		h.o.Log.WarnContext(ctx, "reports of an edge's circuit breaker are not taken: look at what it does, or revoke its token", "partner", who.Partner, "edge", who.Edge, "err", err)
	}
}

// tooMany tells people that an edge sends more than is taken, once until it may
// send again.
func (h *Hub) tooMany(ctx context.Context, who Subscriber, err error) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Busy || p.Wait == 0 {
		return
	}
	now := h.o.Now()
	h.mu.Lock()
	e := h.edge(who)
	known := now.Before(e.barred)
	e.barred = now.Add(p.Wait)
	h.mu.Unlock()
	if !known {
		h.o.Log.WarnContext(ctx, "an edge sends more verdicts than are taken: look at what it does, or revoke its token", "partner", who.Partner, "edge", who.Edge, "until", now.Add(p.Wait).UTC().Format(time.RFC3339))
	}
}

// decode reads a JSON body of bounded size.
func decode(w http.ResponseWriter, r *http.Request, into any) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return nil, problem.Newf(problem.TooLarge, "the body is larger than %d bytes or was cut off", maxReport).WithFix("send less").Because(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return nil, problem.New(problem.Invalid, "the body is not the JSON that is expected here", "see docs/format/feed.md").Because(err)
	}
	return b, nil
}

// Handler returns the routes of the feed.
func (h *Hub) Handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/feed", h.serveStream)
	mux.HandleFunc("GET /api/v1/feed/snapshot", h.serveSnapshot)
	mux.HandleFunc("GET /api/v1/feed/keys", h.serveKeys)
	mux.HandleFunc("POST /api/v1/feed/status", h.serveStatus)
	mux.HandleFunc("POST /api/v1/feed/tallies", h.serveTallies)
	mux.HandleFunc("POST /api/v1/feed/verdicts", h.serveVerdicts)
	return mux
}
