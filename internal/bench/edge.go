package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// EdgeOptions say what Edge measures.
type EdgeOptions struct {
	Signals int  // that the edge holds; 0 means 1,000,000
	Batch   int  // hashes in one request; 0 means 1,000
	Batches int  // requests with batches; 0 means 100
	Clients int  // that send batches at the same time; 0 means 2
	Singles int  // requests with one hash; 0 means 5,000
	JSON    bool // print the figures as one JSON object
}

// EdgeFigures are what Edge measured. A busy machine adds to all of them; the
// pairs that were measured in turn (batches over HTTP and the same hashes
// without, single queries and requests that nothing is looked up for) say what
// is the edge's own part.
type EdgeFigures struct {
	Signals   int     `json:"signals"`
	Batch     int     `json:"batch"`
	Clients   int     `json:"clients"`
	QPS       float64 `json:"qps"`        // hashes answered in batches over loopback HTTP, a second
	DirectQPS float64 `json:"direct_qps"` // the same without HTTP, on as many threads
	P50us     float64 `json:"p50_us"`     // one hash in one request on a connection that stays open
	P99us     float64 `json:"p99_us"`
	NoopP50us float64 `json:"noop_p50_us"` // a request that the same server refuses without a look-up
	NoopP99us float64 `json:"noop_p99_us"`
	Allocs    float64 `json:"allocs_per_query"` // in a batch, client included
	Matched   int     `json:"matched"`          // of the hashes sent in batches
	Exact     bool    `json:"exact"`            // those that should match did, and no others
}

// ErrEdgeNotExact is returned, after the figures were printed, when an answer
// was not what it should be.
var ErrEdgeNotExact = errors.New("the edge's answers are not what they should be; please report it with the figures printed")

// Edge runs an edge's server on loopback and measures it from outside, with a
// client that costs little, as both share the processors. Every tenth hash is
// near to a signal. It prints one line `edge signals=… …` or JSON.
func Edge(ctx context.Context, w io.Writer, o EdgeOptions) error {
	if o.Signals < 0 || o.Batch < 0 || o.Batch > edge.MaxQueries || o.Batches < 0 || o.Clients < 0 || o.Singles < 0 {
		return fmt.Errorf("give numbers from 0 on, and a batch of at most %d", edge.MaxQueries)
	}
	o.Signals, o.Batch, o.Batches = cmp.Or(o.Signals, 1_000_000), cmp.Or(o.Batch, 1_000), cmp.Or(o.Batches, 100)
	o.Clients, o.Singles = cmp.Or(o.Clients, 2), cmp.Or(o.Singles, 5_000)
	m, known, err := edgeOf(ctx, o.Signals)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: edge.NewServer(edge.ServerOptions{Matcher: m}), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		_ = srv.Close() // nothing is under way
		<-served
	}()

	f := EdgeFigures{Signals: o.Signals, Batch: o.Batch, Clients: o.Clients}
	b := &edgeBench{ctx: ctx, o: o, addr: l.Addr().String(), m: m, known: known, r: rand.New(rand.NewPCG(4, 4))}
	if err := b.batches(&f); err != nil {
		return err
	}
	if err := b.singles(&f); err != nil {
		return err
	}
	if o.JSON {
		err = json.NewEncoder(w).Encode(f)
	} else {
		_, err = fmt.Fprintf(w, "edge signals=%d batch=%d clients=%d qps=%.0f direct_qps=%.0f p50_us=%.1f p99_us=%.1f noop_p50_us=%.1f noop_p99_us=%.1f allocs_per_query=%.3f matched=%d exact=%t\n",
			f.Signals, f.Batch, f.Clients, f.QPS, f.DirectQPS, f.P50us, f.P99us, f.NoopP50us, f.NoopP99us, f.Allocs, f.Matched, f.Exact)
	}
	if err == nil && !f.Exact {
		err = ErrEdgeNotExact
	}
	return err
}

// edgeOf returns a matcher with n signals, and a thousand of their hashes.
func edgeOf(ctx context.Context, n int) (*edge.Matcher, []pdq.Hash, error) {
	r := rand.New(rand.NewPCG(1, 1))
	st := edge.NewState(edge.SharedChain)
	var at edge.Position
	var known []pdq.Hash
	now := time.Now()
	for i := range n {
		h := pdq.Hash(uniform(r))
		if i%max(1, n/1000) == 0 {
			known = append(known, h)
		}
		op := edge.Sealed{Operation: edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: uint64(i) + 1, Prev: at.Hash, Do: edge.Add, At: now,
			Signal: edge.Signal{Number: uint64(i) + 1, ID: "S-" + strconv.Itoa(i+1), Kind: fingerprint.PDQ, Value: h.String(), List: "bench",
				Labels: []string{"terrorism"}, Action: edge.Review, MaxDistance: 31}}}
		if err := st.Apply(&op); err != nil {
			return nil, nil, err
		}
		at = op.Position()
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	m := edge.NewMatcher(edge.MatcherOptions{})
	m.FreshAt(now)
	m.Reset(st)
	return m, known, nil
}

type edgeBench struct {
	ctx   context.Context //nolint:containedctx // of one call of Edge
	o     EdgeOptions
	addr  string
	m     *edge.Matcher
	known []pdq.Hash
	r     *rand.Rand
}

// hash returns the i-th hash to ask for: every tenth is near to a signal.
func (b *edgeBench) hash(i int) pdq.Hash {
	if i%10 != 0 {
		return pdq.Hash(uniform(b.r))
	}
	h := b.known[b.r.IntN(len(b.known))]
	for _, bit := range b.r.Perm(256)[:b.r.IntN(32)] {
		h[bit/8] ^= 1 << (bit % 8)
	}
	return h
}

// batches measures batches over HTTP and, in turn with them, the same hashes
// without.
func (b *edgeBench) batches(f *EdgeFigures) error {
	bodies := make([][]byte, b.o.Clients)
	want := 0 // in one round of all bodies
	for i := range bodies {
		for k := range b.o.Batch {
			h := b.hash(k)
			bodies[i] = append(bodies[i], h[:]...)
		}
		want += (b.o.Batch + 9) / 10
	}
	conns := make([]*edgeConn, b.o.Clients)
	requests := make([][]byte, b.o.Clients)
	for i := range conns {
		c, err := dialEdge(b.ctx, b.addr)
		if err != nil {
			return err
		}
		defer c.close()
		conns[i], requests[i] = c, request("/v1/match/pdq", "application/octet-stream", bodies[i])
	}
	results := make([]edge.Result, b.o.Clients)
	rounds := max(1, b.o.Batches/b.o.Clients)
	var over, direct time.Duration
	var mallocs uint64
	f.Exact = true
	for round := range rounds + 1 { // the first does not count
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		errs, found := make([]error, b.o.Clients), make([]int, b.o.Clients)
		took := together(b.o.Clients, func(i int) {
			answer, err := conns[i].do(requests[i], http.StatusOK)
			found[i], errs[i] = bytes.Count(answer, []byte(`"matches":[{`)), err
		})
		runtime.ReadMemStats(&after)
		if err := errors.Join(errs...); err != nil {
			return err
		}
		got := 0
		for _, n := range found {
			got += n
		}
		f.Exact = f.Exact && got == want
		there := together(b.o.Clients, func(i int) {
			for p := bodies[i]; len(p) > 0; p = p[32:] {
				b.m.PDQ(&results[i], (*pdq.Hash)(p), 100)
			}
		})
		if round > 0 {
			over, direct, mallocs = over+took, direct+there, mallocs+after.Mallocs-before.Mallocs
			f.Matched += got
		}
	}
	n := float64(rounds * b.o.Clients * b.o.Batch)
	f.QPS, f.DirectQPS, f.Allocs = n/over.Seconds(), n/direct.Seconds(), float64(mallocs)/n
	return nil
}

// together runs n calls at the same time and returns how long all took.
func together(n int, fn func(i int)) time.Duration {
	start := time.Now()
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() { fn(i) })
	}
	g.Wait()
	return time.Since(start)
}

// singles measures requests with one hash and, in turn with them, requests
// that need no look-up.
func (b *edgeBench) singles(f *EdgeFigures) error {
	c, err := dialEdge(b.ctx, b.addr)
	if err != nil {
		return err
	}
	defer c.close()
	noop := request("/v1/match", "application/json", []byte(`{"kind":"pdq","value":"00000000000000000000000000000000000000000000000000000000000000"}`))
	took, idle := make([]time.Duration, 0, b.o.Singles), make([]time.Duration, 0, b.o.Singles)
	for i := range b.o.Singles {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		req := request("/v1/match", "application/json", fmt.Appendf(nil, `{"kind":"pdq","value":"%s"}`, b.hash(i)))
		start := time.Now()
		answer, err := c.do(req, http.StatusOK)
		took = append(took, time.Since(start))
		if err != nil {
			return err
		}
		f.Exact = f.Exact && bytes.HasPrefix(answer, []byte(`{"answer":"match"`)) == (i%10 == 0)
		start = time.Now()
		if _, err := c.do(noop, http.StatusBadRequest); err != nil {
			return err
		}
		idle = append(idle, time.Since(start))
	}
	slices.Sort(took)
	f.P50us, f.P99us = percentile(took, 50), percentile(took, 99)
	f.NoopP50us, f.NoopP99us = percentile(idle, 50), percentile(idle, 99)
	return nil
}

// edgeConn is an HTTP client that does no more than it must.
type edgeConn struct {
	c   net.Conn
	r   *bufio.Reader
	buf []byte
}

func dialEdge(ctx context.Context, addr string) (*edgeConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &edgeConn{c: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

func (c *edgeConn) close() { _ = c.c.Close() } // nothing is under way

func request(path, contentType string, body []byte) []byte {
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, len(body)), body...)
}

// do sends a request and returns the body of its answer, valid until the next.
func (c *edgeConn) do(request []byte, status int) ([]byte, error) {
	if err := c.c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := c.c.Write(request); err != nil {
		return nil, err
	}
	length, first := -1, true
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, fmt.Appendf(nil, "HTTP/1.1 %d", status)) {
			return nil, fmt.Errorf("the edge answered %q", line)
		}
		first = false
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errors.New("the edge's answer has no length")
	}
	c.buf = slices.Grow(c.buf[:0], length)[:length]
	_, err := io.ReadFull(c.r, c.buf)
	return c.buf, err
}
