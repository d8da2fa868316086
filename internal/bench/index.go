// Package bench measures the parts that people compare us by, on their own
// machine, and prints one line of figures that a program can read. The data
// is made from a fixed seed, so that two runs differ by the machine alone.
package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/index"
)

// IndexOptions say what Index measures.
type IndexOptions struct {
	Entries     int // uniform hashes to make when Haystack is empty; 0 means 1,000,000
	Queries     int // queries to make when Needles is empty; 0 means 2,000
	MaxDistance int // differing bits, 0 to index.MaxDistance
	Threads     int // searching at once; 0 means 1

	// Haystack and Needles name files with one hash of 64 hex digits a line;
	// empty lines and lines that begin with # do not count. Either both or none.
	Haystack, Needles string

	JSON bool // print the figures as one JSON object
}

// IndexFigures are what Index measured.
type IndexFigures struct {
	Entries       int     `json:"entries"`
	Queries       int     `json:"queries"`
	MaxDistance   int     `json:"max_distance"`
	Threads       int     `json:"threads"`
	BuildS        float64 `json:"build_s"`         // to an index of all, making the hashes included
	QPS           float64 `json:"qps"`             // queries a second, all threads together
	P50us         float64 `json:"p50_us"`          // one query
	P99us         float64 `json:"p99_us"`          // one query
	BytesPerEntry float64 `json:"bytes_per_entry"` // memory of the index, hashes and ids included
	InsertP99us   float64 `json:"insert_p99_us"`   // one insertion into the full index while a searcher runs
	InsertCPU     Spread  `json:"insert_cpu_us"`   // of which processor time: waiting for the machine left out; 0 if not known
	InsertNoop    Spread  `json:"insert_noop_us"`  // the same loop, beside the searcher too, with nothing inserted
	ResidentPer   float64 `json:"rss_per_entry"`   // growth of the process, in bytes, by a built index; 0 if not known
	Pairs         int     `json:"pairs"`           // (query, entry) pairs within the distance
	Exact         bool    `json:"exact"`           // a linear scan of a sample of the queries found the same
}

// Spread is the median, the 99th percentile and the most of many times, in
// microseconds.
type Spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func spreadOf(took []time.Duration) Spread {
	return Spread{percentile(took, 50), percentile(took, 99), percentile(took, 100)}
}

// ErrIndexNotExact is returned, after the figures were printed, when a linear
// scan did not find the same entries.
var ErrIndexNotExact = errors.New("the index and a linear scan disagree; please report it with the figures printed")

const (
	indexInserts = 5_000 // insertions measured
	scanBudget   = 4e8   // hash comparisons spent on checking, at most
)

// Index measures package index and prints the figures to w, as one line
// `index entries=… … exact=…` or as JSON. Half of the queries it makes are
// entries with up to MaxDistance bits flipped, the others are unrelated. It
// stops early, with ctx's error, when ctx ends.
func Index(ctx context.Context, w io.Writer, o IndexOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	entries, n, queries, err := o.data()
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	before := resident()
	x := index.New(index.Options{Entries: n})
	start := time.Now()
	if err := x.InsertAll(func(yield func(index.Entry) bool) {
		for e := range entries {
			if ctx.Err() != nil || !yield(e) {
				return
			}
		}
	}); err != nil {
		return err
	}
	f := IndexFigures{Entries: n, Queries: len(queries), MaxDistance: o.MaxDistance, Threads: max(o.Threads, 1)}
	f.BuildS = time.Since(start).Seconds()
	if err := ctx.Err(); err != nil {
		return err
	}
	f.BytesPerEntry = float64(x.Bytes()) / float64(max(x.Len(), 1))
	debug.FreeOSMemory()
	f.ResidentPer = float64(resident()-before) / float64(max(x.Len(), 1))

	f.measureSearch(ctx, x, queries)
	f.Exact = agrees(ctx, x, queries, o.MaxDistance)
	f.measureInsert(ctx, x, queries, o.MaxDistance)
	// The writes were taken back; the answers must be what they were.
	f.Exact = f.Exact && agrees(ctx, x, queries, o.MaxDistance) && x.Len() == n
	if err := ctx.Err(); err != nil {
		return err
	}

	if o.JSON {
		err = json.NewEncoder(w).Encode(f)
	} else {
		_, err = fmt.Fprintf(w, "one insertion: %.1f us of processor time at the median, %.1f at the 99th percentile, %.1f at most; doing nothing beside the searcher: %.1f, %.1f, %.1f us\nmemory: the process grew by %.1f bytes an entry\nindex entries=%d queries=%d max_distance=%d threads=%d build_s=%.3f qps=%.0f p50_us=%.1f p99_us=%.1f bytes_per_entry=%.1f insert_p99_us=%.1f pairs=%d exact=%t\n",
			f.InsertCPU.P50, f.InsertCPU.P99, f.InsertCPU.Max, f.InsertNoop.P50, f.InsertNoop.P99, f.InsertNoop.Max, f.ResidentPer,
			f.Entries, f.Queries, f.MaxDistance, f.Threads, f.BuildS, f.QPS, f.P50us, f.P99us, f.BytesPerEntry, f.InsertP99us, f.Pairs, f.Exact)
	}
	if err == nil && !f.Exact {
		err = ErrIndexNotExact
	}
	return err
}

func (o *IndexOptions) check() error {
	switch {
	case o.Entries < 0 || o.Queries < 0 || o.Threads < 0:
		return errors.New("entries, queries and threads must not be negative")
	case o.MaxDistance < 0 || o.MaxDistance > index.MaxDistance:
		return fmt.Errorf("max distance is %d; give 0 to %d bits", o.MaxDistance, index.MaxDistance)
	case (o.Haystack == "") != (o.Needles == ""):
		return errors.New("a haystack needs needles and needles a haystack; give both files or none")
	}
	return nil
}

// data reads or makes n entries, whose ids are their positions, and the
// queries. Entries that are made are not kept, so that the memory of the
// process is the index's; queries near to them are complete once all were
// taken.
func (o *IndexOptions) data() (entries iter.Seq[index.Entry], n int, queries []index.Hash, err error) {
	if o.Haystack != "" {
		haystack, err := readHashes(o.Haystack)
		if err != nil {
			return nil, 0, nil, err
		}
		queries, err = readHashes(o.Needles)
		return func(yield func(index.Entry) bool) {
			for i, h := range haystack {
				if !yield(index.Entry{ID: uint64(i), Hash: h, MaxDistance: o.MaxDistance}) {
					return
				}
			}
		}, len(haystack), queries, err
	}
	n = cmp.Or(o.Entries, 1_000_000)
	queries = make([]index.Hash, cmp.Or(o.Queries, 2_000))
	r := rand.New(rand.NewPCG(1, 1))
	near := map[int][]int{} // queries near to an entry
	for i := range queries {
		if i%2 == 0 {
			e := r.IntN(n)
			near[e] = append(near[e], i)
		} else {
			queries[i] = uniform(r)
		}
	}
	return func(yield func(index.Entry) bool) {
		for i := range n {
			h := uniform(r)
			for _, q := range near[i] {
				queries[q] = h
				for _, b := range r.Perm(256)[:r.IntN(o.MaxDistance+1)] {
					queries[q][b/8] ^= 1 << (b % 8)
				}
			}
			if !yield(index.Entry{ID: uint64(i), Hash: h, MaxDistance: o.MaxDistance}) {
				return
			}
		}
	}, n, queries, nil
}

func uniform(r *rand.Rand) (h index.Hash) {
	for i := 0; i < len(h); i += 8 {
		binary.LittleEndian.PutUint64(h[i:], r.Uint64())
	}
	return h
}

// readHashes reads a file with one hash a line.
func readHashes(name string) ([]index.Hash, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	var out []index.Hash
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		h, err := pdq.Parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		out = append(out, index.Hash(h))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no hash; give one of 64 hex digits a line", name)
	}
	return out, nil
}

// measureSearch runs every query once, on f.Threads goroutines.
func (f *IndexFigures) measureSearch(ctx context.Context, x *index.Index, queries []index.Hash) {
	took := make([]time.Duration, len(queries))
	var next, pairs atomic.Int64
	var g sync.WaitGroup
	warm := make([]index.Match, 0, 1<<12)
	for i := range min(20, len(queries)) {
		warm = x.Search(warm[:0], &queries[i], f.MaxDistance)
	}
	start := time.Now()
	for range f.Threads {
		g.Go(func() {
			dst, n := make([]index.Match, 0, 1<<12), 0
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(queries) {
					break
				}
				t := time.Now()
				dst = x.Search(dst[:0], &queries[i], f.MaxDistance)
				took[i] = time.Since(t)
				n += len(dst)
			}
			pairs.Add(int64(n))
		})
	}
	g.Wait()
	f.QPS = float64(len(queries)) / time.Since(start).Seconds()
	f.Pairs = int(pairs.Load())
	f.P50us, f.P99us = percentile(took, 50), percentile(took, 99)
}

// percentile returns in microseconds the duration that p per cent of took do
// not exceed. It sorts took.
func percentile(took []time.Duration, p int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*p/100].Nanoseconds()) / 1e3
}

// agrees compares the index with a linear scan, over as many of the queries,
// evenly spread, as the budget allows, and at least one.
func agrees(ctx context.Context, x *index.Index, queries []index.Hash, maxDistance int) bool {
	sample := min(len(queries), max(1, int(scanBudget)/max(x.Len(), 1)))
	var got, want []index.Match
	order := func(a, b index.Match) int {
		if a.ID != b.ID {
			if a.ID < b.ID {
				return -1
			}
			return 1
		}
		return int(a.Distance) - int(b.Distance)
	}
	for i := range sample {
		if ctx.Err() != nil {
			return false
		}
		h := &queries[i*len(queries)/sample]
		got, want = x.Search(got[:0], h, maxDistance), x.Scan(want[:0], h, maxDistance)
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			return false
		}
	}
	return true
}

// measureInsert inserts new hashes one at a time while another goroutine
// searches, and deletes them again.
func (f *IndexFigures) measureInsert(ctx context.Context, x *index.Index, queries []index.Hash, maxDistance int) {
	var done atomic.Bool
	var g sync.WaitGroup
	g.Go(func() {
		dst := make([]index.Match, 0, 1<<12)
		for i := 0; len(queries) > 0 && !done.Load(); i++ {
			dst = x.Search(dst[:0], &queries[i%len(queries)], maxDistance)
		}
	})
	const firstID = uint64(1) << 40
	r := rand.New(rand.NewPCG(2, 2))
	took := make([]time.Duration, 0, indexInserts)
	cpu, noop := make([]time.Duration, 0, indexInserts), make([]time.Duration, 0, indexInserts)
	runtime.LockOSThread() // whose processor time it is
	for i := uint64(0); i < indexInserts && ctx.Err() == nil; i++ {
		h := uniform(r)
		t, c := time.Now(), threadTime()
		if err := x.Insert(firstID+i, h, maxDistance); err != nil {
			break // cannot be: the distance was checked
		}
		cpu = append(cpu, threadTime()-c)
		took = append(took, time.Since(t))
		t = time.Now()
		_ = threadTime() // not looked at
		_ = threadTime()
		noop = append(noop, time.Since(t))
	}
	runtime.UnlockOSThread()
	done.Store(true)
	g.Wait()
	for i := range took {
		x.Delete(firstID + uint64(i))
	}
	f.InsertP99us, f.InsertCPU, f.InsertNoop = percentile(took, 99), spreadOf(cpu), spreadOf(noop)
}
