package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/bus"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// FeedOptions say what Feed measures.
type FeedOptions struct {
	Edges      int           // in all; 0 means 100
	Operations int           // published; 0 means 50
	Every      time.Duration // between two operations; 0 means 20 ms, or 0.1 ms an edge if that is more
	Light      int           // of the edges, those that are mere sockets: they check numbers and no signatures; -1: all beyond 2,000
	Stored     bool          // edges keep a folder and sync each operation, as real ones do; all on this machine's one disk
	Soak       time.Duration // go on for this long instead of Operations, with percentiles every 10 s
	Idle       bool          // measure the node's memory for an idle edge too

	Nodes    int    // that edges are spread over; 0 means 1; more need a Database
	Database string // address of an empty PostgreSQL database
	NATS     string // address of NATS between the nodes, or "embedded"; "": none

	Store journal.Store // nil: Database, or a new SQLite database in a temporary folder
	JSON  bool          // print the figures as one JSON object
}

// FeedFigures are what Feed measured. Times are from just before an operation
// is committed on disk to the moment at which an edge matches by it.
type FeedFigures struct {
	Edges      int     `json:"edges"`
	Operations int     `json:"operations"`
	P50ms      float64 `json:"p50_ms"`
	P99ms      float64 `json:"p99_ms"`
	MaxMs      float64 `json:"max_ms"`
	Lost       int     `json:"lost"`       // operations that an edge never had
	Duplicated int     `json:"duplicated"` // that it applied more than once
	IdleBytes  int     `json:"idle_bytes,omitempty"`
	CPUus      float64 `json:"cpu_us,omitempty"` // processor time of nodes and edges together for an operation at an edge
}

// ErrFeedNotExact is returned, after the figures were printed, when an
// operation was lost or applied twice.
var ErrFeedNotExact = errors.New("operations were lost or applied twice; please report it with the figures printed")

// Feed runs a node and edges in this process, connected by sockets on
// loopback, publishes operations (additions and removals) and prints how long
// they took to take effect at the edges, as one line `feed  edges=… …` or as
// JSON. It stops early, with ctx's error, when ctx ends.
func Feed(ctx context.Context, w io.Writer, o FeedOptions) error {
	if err := o.fill(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "siaga-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	if o.Store == nil && o.Database == "" {
		db, err := sqlite.Create(ctx, filepath.Join(dir, "bench.db"), sqlite.Options{})
		if err != nil {
			return err
		}
		defer db.Close() //nolint:errcheck // temporary
		o.Store = db
	}
	b, err := newFeedBench(ctx, o, dir)
	if err != nil {
		return err
	}
	defer b.close()
	f, err := b.run(ctx, w)
	if err != nil {
		return err
	}
	if o.JSON {
		err = json.NewEncoder(w).Encode(f)
	} else {
		if f.IdleBytes > 0 {
			if _, err := fmt.Fprintf(w, "      idle edge: %.1f KB of the node's memory\n", float64(f.IdleBytes)/1024); err != nil {
				return err
			}
		}
		if f.CPUus > 0 {
			if _, err := fmt.Fprintf(w, "      processor time, nodes and edges together: %.1f us an operation and edge\n", f.CPUus); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(w, "feed  edges=%d operations=%d p50_ms=%.1f p99_ms=%.1f max_ms=%.1f lost=%d duplicated=%d\n", f.Edges, f.Operations, f.P50ms, f.P99ms, f.MaxMs, f.Lost, f.Duplicated)
	}
	if err == nil && f.Lost+f.Duplicated > 0 {
		err = ErrFeedNotExact
	}
	return err
}

func (o *FeedOptions) fill() error {
	if o.Edges < 0 || o.Operations < 0 || o.Every < 0 || o.Soak < 0 || o.Light > o.Edges {
		return errors.New("edges, operations, interval and soak must not be negative, and no more edges light than there are")
	}
	if o.Nodes < 0 || o.Nodes > 64 {
		return errors.New("1 to 64 nodes")
	}
	o.Nodes = max(o.Nodes, 1)
	if o.Nodes > 1 && o.Database == "" {
		return errors.New("several nodes need one database: name an empty one of PostgreSQL with --database")
	}
	if o.Edges == 0 {
		o.Edges = 100
	}
	if o.Operations == 0 {
		o.Operations = 50
	}
	if o.Every == 0 {
		o.Every = max(20*time.Millisecond, time.Duration(o.Edges)*100*time.Microsecond)
	}
	if o.Soak > 0 {
		o.Operations = int(o.Soak/o.Every) + 1
	}
	if o.Light < 0 {
		o.Light = max(0, o.Edges-2000)
	}
	return nil
}

// feedBench is one run.
type feedBench struct {
	o     FeedOptions
	dir   string
	key   edge.KeySigner
	nodes []*benchNode
	start time.Time

	sent  []atomic.Int64 // when each operation was published, in nanoseconds since start
	seen  [][]int32      // by edge and operation: microseconds until it was applied; 0: not yet
	twice atomic.Int64
	got   atomic.Int64
}

// benchNode is one node: a store, a hub, a socket, and the way over NATS.
type benchNode struct {
	store journal.Store
	own   bool // the store is the node's, to be closed
	hub   *feed.Hub
	pub   feed.Publisher
	bus   *bus.Bus
	ln    net.Listener
	srv   *http.Server
}

func (n *benchNode) address() string { return n.ln.Addr().String() }

func newFeedBench(ctx context.Context, o FeedOptions, dir string) (_ *feedBench, err error) {
	b := &feedBench{o: o, dir: dir, key: edge.KeySigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))), start: time.Now(), sent: make([]atomic.Int64, o.Operations)}
	for range o.Edges {
		b.seen = append(b.seen, make([]int32, o.Operations))
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	for range o.Nodes {
		if err := b.addNode(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// addNode makes one more node. The first sets the database up, and embeds NATS
// if it is to be embedded.
func (b *feedBench) addNode(ctx context.Context) error {
	n := &benchNode{store: b.o.Store}
	first := len(b.nodes) == 0
	b.nodes = append(b.nodes, n)
	if n.store == nil {
		open := postgres.Open
		if first {
			open = postgres.Create
		}
		db, err := open(ctx, b.o.Database, postgres.Options{})
		if err != nil {
			return err
		}
		n.store, n.own = db, true
	}
	n.pub = feed.Publisher{Signer: b.key}
	var line feed.Line
	if b.o.NATS != "" {
		n.pub.Drafts = &feed.Drafts{}
		address := b.o.NATS
		if address == "embedded" && b.o.Nodes > 1 {
			address = "embedded://bench:bench@127.0.0.1:0"
			if !first {
				address = "nats://bench:bench@" + b.nodes[0].bus.Address()
			}
		}
		var err error
		n.bus, err = bus.New(bus.Options{URL: address, Dir: filepath.Join(b.dir, "nats"), Pin: edge.Pin(b.key.Public()),
			Deliver: func(chain string, wire []byte) { n.hub.Deliver(chain, wire) }})
		if err != nil {
			return err
		}
		line = n.bus
	}
	keys, err := edge.Keys{Serial: 1, At: time.Now(), Feed: []edge.FeedKey{{Public: b.key.Public()}}}.Seal(b.key)
	if err != nil {
		return err
	}
	n.hub = feed.New(feed.Options{
		Store: n.store, Signer: b.key, Keys: keys, Log: slog.New(slog.DiscardHandler), MaxEdges: b.o.Edges + 2000, Line: line, Drafts: n.pub.Drafts,
		Authenticate: func(r *http.Request) (feed.Subscriber, error) {
			name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer siaga_edge_")
			if !ok {
				return feed.Subscriber{}, problem.New(problem.SignIn, "no token", "send one")
			}
			name, _, _ = strings.Cut(name, "_")
			// As many platforms as there are partners in a large partnership.
			k, _ := strconv.Atoi(name)
			return feed.Subscriber{Partner: fmt.Sprintf("p%d", k%30), Edge: name, Token: name}, nil
		},
		Valid: func(_ context.Context, subs []feed.Subscriber) ([]feed.Validity, error) {
			return make([]feed.Validity, len(subs)), nil
		},
		Error: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	})
	n.srv = &http.Server{Handler: n.hub.Handler(), ReadHeaderTimeout: 10 * time.Second}
	n.ln, err = net.Listen("tcp", "127.0.0.1:0")
	return err
}

// close releases what the nodes opened; the last first, as the first has NATS.
func (b *feedBench) close() {
	for _, n := range slices.Backward(b.nodes) {
		if n.ln != nil {
			_ = n.ln.Close() // served to its end
		}
		if n.bus != nil {
			n.bus.Close()
		}
		if n.own {
			_ = n.store.Close() // a bench's
		}
	}
}

// of is the node that an edge attaches to.
func (b *feedBench) of(i int) *benchNode { return b.nodes[i%len(b.nodes)] }

func (b *feedBench) token(i int) string {
	return fmt.Sprintf("siaga_edge_%d_%s", i, edge.Pin(b.key.Public()))
}

// arrived notes that an edge applied an operation.
func (b *feedBench) arrived(i int, seq uint64) {
	k := int(seq) - 1 //nolint:gosec // a count
	if k < 0 || k >= len(b.sent) {
		return
	}
	us := max(1, (time.Since(b.start).Nanoseconds()-b.sent[k].Load())/1000)
	if atomic.LoadInt32(&b.seen[i][k]) != 0 {
		b.twice.Add(1)
		return
	}
	atomic.StoreInt32(&b.seen[i][k], int32(min(us, 1<<31-1))) //nolint:gosec // bounded
	b.got.Add(1)
}

func (b *feedBench) run(ctx context.Context, w io.Writer) (FeedFigures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range b.nodes {
		wg.Go(func() { _ = n.hub.Run(ctx) })
		wg.Go(func() { _ = n.srv.Serve(n.ln) })
		if len(b.nodes) > 1 {
			wg.Go(func() { _ = n.store.Watch(ctx) })
		}
		if n.bus != nil {
			wg.Go(func() { _ = n.bus.Run(ctx) })
		}
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 2 * time.Second, WriteBufferSize: 2 << 10, ReadBufferSize: 2 << 10, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	defer func() {
		cancel()
		b.unserve()
		wg.Wait()
		tr.CloseIdleConnections()
	}()
	f := FeedFigures{Edges: b.o.Edges, Operations: b.o.Operations}
	var err error
	if b.o.Idle {
		if f.IdleBytes, err = b.idle(ctx, min(1000, b.o.Edges)); err != nil {
			return f, err
		}
	}
	if err := b.edges(ctx, &wg, tr); err != nil {
		return f, err
	}
	kind := ""
	if b.o.Light > 0 {
		kind = fmt.Sprintf(" (%d of them mere sockets)", b.o.Light)
	}
	if !b.o.JSON {
		if len(b.nodes) > 1 {
			kind += fmt.Sprintf(" on %d nodes", len(b.nodes))
		}
		if _, err := fmt.Fprintf(w, "      %d edges%s follow; an operation every %s\n", b.o.Edges, kind, b.o.Every); err != nil {
			return f, err
		}
	}
	for end := time.Now().Add(10 * time.Second); b.o.NATS != "" && !b.busy() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if b.o.NATS != "" && !b.busy() {
		return f, fmt.Errorf("NATS is not there: %s", b.nodes[0].bus.Status().Problem)
	}
	cpu := cpuTime()
	if err := b.publish(ctx, w); err != nil {
		return f, err
	}
	// Everything should be there by now; what is late has half a minute.
	want := int64(b.o.Edges) * int64(b.o.Operations)
	for end := time.Now().Add(30 * time.Second); b.got.Load() < want && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	if cpu >= 0 {
		f.CPUus = float64((cpuTime() - cpu).Microseconds()) / float64(max(want, 1))
	}
	f.Lost, f.Duplicated = int(want-b.got.Load()), int(b.twice.Load())
	cancel()
	b.unserve()
	wg.Wait()
	f.P50ms, f.P99ms, f.MaxMs = b.percentiles(0, b.o.Operations)
	return f, nil
}

// busy reports whether NATS carries the feed of all nodes.
func (b *feedBench) busy() bool {
	return !slices.ContainsFunc(b.nodes, func(n *benchNode) bool { return !n.bus.Up() })
}

// unserve ends all connections.
func (b *feedBench) unserve() {
	for _, n := range b.nodes {
		_ = n.srv.Close() // a bench's
	}
}

// edges starts all edges and waits until they follow.
func (b *feedBench) edges(ctx context.Context, wg *sync.WaitGroup, tr *http.Transport) error {
	full := b.o.Edges - b.o.Light
	var fs []*edge.Follower
	for i := range full {
		m := edge.NewMatcher(edge.MatcherOptions{})
		o := edge.FollowerOptions{Upstream: []string{"http://" + b.of(i).address()}, Token: b.token(i), HTTP: &http.Client{Transport: tr}, Version: "bench",
			OnChange: func(ops []edge.Sealed) {
				for k := range ops {
					b.arrived(i, ops[k].Seq)
				}
			}}
		if b.o.Stored {
			o.Dir = filepath.Join(b.dir, fmt.Sprintf("edge-%d", i))
		}
		f, err := edge.NewFollower(m, o)
		if err != nil {
			return err
		}
		fs = append(fs, f)
		wg.Go(func() { _ = f.Run(ctx) })
	}
	var light atomic.Int64
	for i := full; i < b.o.Edges; i++ {
		wg.Go(func() { b.light(ctx, i, &light) })
	}
	for end := time.Now().Add(2 * time.Minute); ; {
		n := int(light.Load())
		for _, f := range fs {
			if f.Connected() != "" {
				n++
			}
		}
		if n == b.o.Edges {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d edges connected within two minutes; see `ulimit -n`, an edge needs about four open files here", n, b.o.Edges)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dial opens a stream by hand and returns after its hello.
func (b *feedBench) dial(ctx context.Context, i int) (net.Conn, *bufio.Reader, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", b.of(i).address())
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(c, "GET /api/v1/feed?nonce=x HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\n\r\n", b.token(i)); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the node answers %s", resp.Status)
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	r := bufio.NewReaderSize(resp.Body, 1024)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, nil, errors.Join(err, c.Close())
		}
		if bytes.HasPrefix(line, []byte("event: hello")) {
			return c, r, nil
		}
	}
}

// light is an edge that is a mere socket: it checks that no number is missing
// or repeated.
func (b *feedBench) light(ctx context.Context, i int, connected *atomic.Int64) {
	c, r, err := b.dial(ctx, i)
	if err != nil {
		return
	}
	defer c.Close()                                          //nolint:errcheck // only read
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // ends the reading
	connected.Add(1)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		k := bytes.Index(line, []byte(`"chain":"partners","epoch":1,"seq":`))
		if k < 0 {
			continue
		}
		seq := uint64(0)
		for _, d := range line[k+len(`"chain":"partners","epoch":1,"seq":`):] {
			if d < '0' || d > '9' {
				break
			}
			seq = seq*10 + uint64(d-'0')
		}
		b.arrived(i, seq)
	}
}

// publish appends the operations: additions, and removals of half of them.
func (b *feedBench) publish(ctx context.Context, w io.Writer) error {
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a seed, so that runs compare
	tick := time.NewTicker(b.o.Every)
	defer tick.Stop()
	from, mark := 0, time.Now()
	for k := range b.o.Operations {
		d := feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: benchSignal(r, uint64(k/3*2+k%3)+1)} //nolint:gosec // a count
		if k%3 == 2 {
			d.Do, d.Number = edge.Remove, uint64(k/3*2)+1 //nolint:gosec // a count
		}
		d.ID = fmt.Sprintf("S-%04d", d.Number)
		b.sent[k].Store(time.Since(b.start).Nanoseconds())
		n := b.of(k) // each node writes in turn
		err := n.store.Update(ctx, func(tx journal.StoreTx) error {
			_, err := n.pub.Publish(tx, int64(k), time.Now(), d)
			return err
		})
		if err != nil {
			return err
		}
		if b.o.Soak > 0 && time.Since(mark) >= 10*time.Second {
			// Without those that are still on their way.
			p50, p99, most := b.percentiles(from, k-int(time.Second/b.o.Every))
			if _, err := fmt.Fprintf(w, "      %4.0f s  p50_ms=%.1f p99_ms=%.1f max_ms=%.1f goroutines=%d\n", time.Since(b.start).Seconds(), p50, p99, most, runtime.NumGoroutine()); err != nil {
				return err
			}
			from, mark = k, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func benchSignal(r *rand.Rand, n uint64) edge.Signal {
	var h pdq.Hash
	for i, p := range r.Perm(256) {
		if p < 128 {
			h[i/8] |= 1 << (i % 8)
		}
	}
	return edge.Signal{Number: n, Kind: fingerprint.PDQ, Value: h.String(), List: "sea-crp", Labels: []string{"terrorism", "livestream"}, Producer: "perpetrator",
		Action: edge.Block, MaxDistance: pdq.MatchDistance, Group: fmt.Sprintf("A-%04d", n), Expires: time.Now().Add(24 * time.Hour)}
}

// percentiles of the operations from … to, over all edges, in milliseconds.
func (b *feedBench) percentiles(from, to int) (p50, p99, most float64) {
	var all []int32
	for i := range b.seen {
		for k := max(from, 0); k < max(to, from, 0); k++ {
			if us := atomic.LoadInt32(&b.seen[i][k]); us > 0 {
				all = append(all, us)
			}
		}
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[min(len(all)-1, int(q*float64(len(all))))]) / 1000 }
	return at(0.50), at(0.99), float64(all[len(all)-1]) / 1000
}

// idle measures the memory that the node holds for a stream on which nothing
// happens: n sockets without any client's machinery.
func (b *feedBench) idle(ctx context.Context, n int) (int, error) {
	memory := func() int64 {
		for range 3 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // far below
	}
	// The first ones make what all share.
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // only read
		}
	}()
	before := int64(0)
	for i := range n + 50 {
		if i == 50 {
			before = memory()
		}
		c, _, err := b.dial(ctx, i)
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
	}
	return int((memory() - before) / int64(n)), nil
}
