package app

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/admit"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/health"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// metrics are what the node counts besides what its parts count themselves.
// Labels are from closed sets: lanes, classes of status, kinds of problem.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	shed     *prometheus.CounterVec
	updates  *prometheus.HistogramVec
	tracer   *sdktrace.TracerProvider // nil: no traces

	gate    *admit.Gate                  // nil before mount
	refused map[admit.Lane]*atomic.Int64 // when a request was refused for want of room, in Unix milliseconds; 0: never
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "siaga_http_requests_total", Help: "Requests that were answered, by lane and class of status.",
		}, []string{"lane", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "siaga_http_request_seconds", Help: "Time from a request to the end of its answer, waiting included; streams are not counted.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"lane"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "siaga_http_shed_total", Help: "Requests that were not taken on, by lane and reason: budget, queue, wait; of bodies slow, many, memory, size.",
		}, []string{"lane", "why"}),
		updates: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "siaga_journal_update_seconds", Help: "Time of one durable transaction, waiting included, by how it ended: ok, or the kind of problem.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"result"}),
	}
	m.refused = map[admit.Lane]*atomic.Int64{}
	for _, l := range admit.Lanes() {
		m.refused[l] = new(atomic.Int64)
	}
	for _, l := range admit.Lanes() { // what has not happened yet is 0, not absent
		m.seconds.WithLabelValues(string(l))
		for _, why := range []string{"budget", "queue", "wait", "slow", "many", "memory", "size"} {
			m.shed.WithLabelValues(string(l), why)
		}
	}
	m.updates.WithLabelValues("ok")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "siaga_build_info", Help: "1, with the version that runs.", ConstLabels: prometheus.Labels{"version": Version(), "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.shed, m.updates, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// update notes how a transaction of the journal ended.
func (m *metrics) update(ctx context.Context, began time.Time, err error) {
	result := "ok"
	if err != nil {
		result = string(problem.KindOf(err))
	}
	m.updates.WithLabelValues(result).Observe(time.Since(began).Seconds())
	if m.tracer != nil {
		_, span := m.tracer.Tracer(scope).Start(ctx, "journal update", trace.WithTimestamp(began), trace.WithAttributes(attribute.String("result", result)))
		span.End()
	}
}

// admitted makes the gate of the node's requests and counts at it.
func (m *metrics) admitted(o admit.Options) *admit.Gate {
	o.Done = func(l admit.Lane, status int, took time.Duration) {
		m.requests.WithLabelValues(string(l), strconv.Itoa(status/100)+"xx").Inc()
		m.seconds.WithLabelValues(string(l)).Observe(took.Seconds())
	}
	o.Shed = func(l admit.Lane, why string) {
		m.shed.WithLabelValues(string(l), why).Inc()
		if why == "queue" || why == "wait" {
			m.refused[l].Store(time.Now().UnixMilli())
		}
	}
	g := admit.New(o)
	m.gate = g
	for _, l := range admit.Lanes() {
		labels := prometheus.Labels{"lane": string(l)}
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "siaga_http_waiting", Help: "Requests that wait for a place.", ConstLabels: labels},
				func() float64 { return float64(g.Waiting(l)) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "siaga_http_working", Help: "Requests that are worked on.", ConstLabels: labels},
				func() float64 { return float64(g.Working(l)) }))
	}
	return g
}

// lanes says whether requests wait, or were refused of late for want of room.
func (m *metrics) lanes(now time.Time) health.Part {
	p := health.Part{Name: health.Lanes, State: health.Unknown}
	if m.gate == nil {
		return p
	}
	var waiting int64
	var last time.Time
	p.State = health.OK
	for _, l := range admit.Lanes() {
		waiting += int64(m.gate.Waiting(l))
		ms := m.refused[l].Load()
		if at := time.UnixMilli(ms).UTC(); ms > 0 && now.Sub(at) < shedLately {
			if p.Detail = "refused"; p.State == health.OK {
				p.State = health.Warn
			}
			if l == admit.Emergency {
				p.State = health.Fail
			}
			if at.After(last) {
				last = at
			}
		}
	}
	if p.Count = &waiting; !last.IsZero() {
		p.At = &last
	}
	return p
}

// bodies reads the bodies of requests before the gate, by the gate's addresses.
func (m *metrics) bodies(g *admit.Gate, refuse func(w http.ResponseWriter, r *http.Request, err error)) *admit.Bodies {
	b := admit.NewBodies(admit.BodyOptions{
		Address: func(r *http.Request) string { return g.Address(r).String() }, Refuse: refuse,
		Shed: func(r *http.Request, why string) {
			lane, _ := admit.Of(r.Method, r.URL.Path)
			m.shed.WithLabelValues(string(lane), why).Inc()
		},
	})
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "siaga_http_bodies", Help: "Bodies of requests that are under way; they hold no place."},
			func() float64 { n, _ := b.UnderWay(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "siaga_http_body_bytes", Help: "Memory that bodies over 16 KiB hold."},
			func() float64 { _, n := b.UnderWay(); return float64(n) }))
	return b
}

// journalCollector reads the journal's size when it is asked for.
type journalCollector struct{ n *Node }

var (
	descEntries  = prometheus.NewDesc("siaga_journal_entries", "Entries in the journal.", nil, nil)
	descUnsigned = prometheus.NewDesc("siaga_journal_unsigned_entries", "Entries after the last signed checkpoint.", nil, nil)
	descUp       = prometheus.NewDesc("siaga_store_up", "1 if the store could be read.", nil, nil)
	descHealth   = prometheus.NewDesc("siaga_health_state", "How a part of the node is, as its page Health says: 0 ok, 1 unknown, 2 warn, 3 fail.", []string{"part"}, nil)
	descCount    = prometheus.NewDesc("siaga_health_items", "What a part of the node counts, such as late jobs or silent edges.", []string{"part"}, nil)
	descTime     = prometheus.NewDesc("siaga_health_timestamp_seconds", "When it happened last, as a backup, or when it ends, as a certificate.", []string{"part"}, nil)
	descFree     = prometheus.NewDesc("siaga_store_free_bytes", "Space left where the data folder is.", nil, nil)
)

func (c journalCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEntries, descUnsigned, descUp, descFree, descHealth, descCount, descTime} {
		out <- d
	}
}

func (c journalCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // the collector is given no context
	defer cancel()
	var size, signed int64
	up := 0.0
	if err := c.n.Log.View(ctx, func(r journal.StoreReader) (err error) {
		if size, err = r.Size(); err != nil {
			return err
		}
		_, signed, err = r.Checkpoint()
		return err
	}); err == nil {
		up = 1
		gauge(descEntries, float64(size))
		gauge(descUnsigned, float64(size-signed))
	}
	gauge(descUp, up)
	c.health(ctx, out)
	if free, err := freeBytes(c.n.o.Data); err == nil {
		gauge(descFree, float64(free))
	}
}

// health tells what the page Health tells, so that alerts know as much. Of a
// report that could not be made each part is unknown, not absent.
func (c journalCollector) health(ctx context.Context, out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 6*time.Second) // once an hour the certificate is looked at
	defer cancel()
	told := map[health.Name]bool{}
	tell := func(d *prometheus.Desc, part health.Name, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, string(part))
	}
	r, err := c.n.health(ctx, c.n.o.Now())
	if err == nil {
		for _, p := range r.Parts {
			told[p.Name] = true
			tell(descHealth, p.Name, float64(p.State.Level()))
			if p.Count != nil {
				tell(descCount, p.Name, float64(*p.Count))
			}
			if p.At != nil {
				tell(descTime, p.Name, float64(p.At.UnixMilli())/1000)
			}
		}
	}
	for _, name := range health.Names() {
		// A node has no NATS or certificate unless it is told.
		if !told[name] && (err != nil || (name != health.Bus && name != health.Certificate)) {
			tell(descHealth, name, float64(health.Unknown.Level()))
		}
	}
}

// serveMetrics answers Prometheus: GET /metrics, for a token or session that
// may read the node's health.
func (n *Node) serveMetrics() http.Handler {
	h := promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	fail := api.WriteProblem(n.o.Log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") {
			fail(w, r, problem.New(problem.SignIn, "metrics need a token of an operator", "make one with siaga token create --roles operator, and send it as Authorization: Bearer …"))
			return
		}
		by, _, err := n.Partners.ByToken(r.Context(), strings.TrimSpace(text))
		if err == nil {
			err = access.Allow(by, access.ReadHealth, n.o.Now())
		}
		if err != nil {
			fail(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}
