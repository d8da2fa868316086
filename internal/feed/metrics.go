package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/siaga-crp/siaga/edge"
)

// reached counts how long operations took to arrive, by kind of operation.
type reached struct{ seconds *prometheus.HistogramVec }

func newReached() reached {
	r := reached{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "siaga_feed_reach_seconds", Help: "Time from an operation on this node to each edge's acknowledgement that it is on its disk.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600},
	}, []string{"do"})}
	r.seconds.WithLabelValues("add")
	r.seconds.WithLabelValues("remove")
	return r
}

func (r reached) observe(do edge.Do, d time.Duration) {
	name := "remove"
	if do == edge.Add {
		name = "add"
	}
	r.seconds.WithLabelValues(name).Observe(d.Seconds())
}

var (
	descEdges   = prometheus.NewDesc("siaga_feed_edges", "Known edges by state, at all nodes of the database.", []string{"state"}, nil)
	descStreams = prometheus.NewDesc("siaga_feed_streams", "Open streams of edges and relays at this node.", nil, nil)
	descBehind  = prometheus.NewDesc("siaga_feed_behind_operations", "Operations that the edge furthest behind has not acknowledged.", nil, nil)
	descSilence = prometheus.NewDesc("siaga_feed_silence_seconds", "Time since the last word of the edge that was heard longest ago.", nil, nil)
	descAlarms  = prometheus.NewDesc("siaga_feed_alarms", "Alarms in the last reports of edges: wrong signatures, roll-backs, a full disk.", nil, nil)
	descDamaged = prometheus.NewDesc("siaga_feed_damaged_chains", "Chains that stand still because an operation in the store is damaged.", nil, nil)
	descHead    = prometheus.NewDesc("siaga_feed_operations", "Operations of all chains that this node has seen.", nil, nil)
)

// SilentAfter is how long an edge may say nothing until it counts as silent:
// three heartbeats.
const SilentAfter = 15 * time.Second

// State says in one word how an edge is: "current", "behind" or "silent".
func (s EdgeState) State(now time.Time) string {
	switch {
	case s.LastSeen.IsZero() || (s.Streams == 0 && now.Sub(s.LastSeen) > SilentAfter):
		return "silent"
	case s.Behind > 0 || !s.Attached(now):
		return "behind"
	}
	return "current"
}

// Attached reports whether the edge has a stream, here or at a relay.
func (s EdgeState) Attached(now time.Time) bool {
	return s.Streams > 0 || (s.Via != "" && now.Sub(s.LastSeen) <= SilentAfter)
}

// Describe implements prometheus.Collector. The labels are from closed sets; no
// edge or partner is named.
func (h *Hub) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEdges, descStreams, descBehind, descSilence, descAlarms, descHead, descDamaged} {
		out <- d
	}
	h.reached.seconds.Describe(out)
}

// Collect implements prometheus.Collector. Edges are counted at all nodes of the
// database, so each node tells the same; streams are this node's.
func (h *Hub) Collect(out chan<- prometheus.Metric) {
	now := h.o.Now()
	states := map[string]float64{"current": 0, "behind": 0, "silent": 0}
	var behind, silence, alarms, head float64
	h.mu.Lock()
	for _, s := range h.all() {
		states[s.State(now)]++
		behind = max(behind, float64(s.Behind))
		if !s.LastSeen.IsZero() {
			silence = max(silence, now.Sub(s.LastSeen).Seconds())
		}
		alarms += float64(len(s.Report.Alarms))
	}
	for _, c := range h.chains {
		head += float64(c.head.Seq)
	}
	streams, damaged := float64(len(h.subs)), float64(len(h.damaged))
	h.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state, n := range states {
		gauge(descEdges, n, state)
	}
	gauge(descStreams, streams)
	gauge(descBehind, behind)
	gauge(descSilence, silence)
	gauge(descAlarms, alarms)
	gauge(descHead, head)
	gauge(descDamaged, damaged)
	h.reached.seconds.Collect(out)
}

// behind returns how many operations an edge has not acknowledged, and since
// when the oldest of them has been there. The caller holds h.mu.
func (h *Hub) behind(partner string, acked map[string]uint64) (n uint64, since time.Time) {
	for _, name := range []string{edge.SharedChain, edge.OwnChain(partner)} {
		c := h.chains[name]
		if c == nil || c.head.Seq <= acked[name] {
			continue
		}
		n += c.head.Seq - acked[name]
		at := h.made // of what was there before
		if first := c.head.Seq - uint64(len(c.ring)) + 1; len(c.stats) > 0 {
			if st := c.stats[max(acked[name]+1, first)-first]; !st.at.IsZero() {
				at = st.at
			}
		}
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return n, since
}
