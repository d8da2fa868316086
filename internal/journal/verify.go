package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// VerifyOptions of Verify. The zero value is ready.
type VerifyOptions struct {
	// Progress is called now and then, by one goroutine at a time.
	Progress func(Progress)
	// Feed checks one operation of the edge feed against the one before it in
	// its chain (prev.Seq is 0 at the beginning); an error is reported as a
	// fault. Nil: only that there are no gaps is checked.
	Feed func(prev, row *FeedRow) error
	// Workers is the number of goroutines that read and hash; default: one a
	// processor.
	Workers int
}

// Progress of a verification.
type Progress struct {
	Part  string // "entries" or "objects"
	Done  int64  // entries
	Total int64
}

// Report is what a verification found.
type Report struct {
	Origin  string    `json:"origin"`
	Size    int64     `json:"size"`    // number of entries
	Root    tlog.Hash `json:"root"`    // recomputed
	Signed  int64     `json:"signed"`  // size of the signed checkpoint; -1: none
	Erased  int64     `json:"erased"`  // entries whose payload was erased
	Objects int64     `json:"objects"` // folded objects compared
	Feed    int64     `json:"feed"`    // feed operations seen
	Faults  []Fault   `json:"faults"`  // in order of place, at most MaxFaults
	Found   int64     `json:"found"`   // faults in all
}

// MaxFaults is the number of faults that a report lists.
const MaxFaults = 1000

// OK reports whether everything that is stored follows from the entries and
// the entries are those that were signed.
func (r *Report) OK() bool { return r.Found == 0 }

// Part is what a fault lies in.
type Part string

// The parts, in the order in which they are reported.
const (
	PartCheckpoint Part = "checkpoint"
	PartEntry      Part = "entry"
	PartHash       Part = "hash"
	PartIndex      Part = "index" // of entries by object
	PartObject     Part = "object"
	PartFeed       Part = "feed"
)

// Fault is one place where what is stored is not what it should be.
type Fault struct {
	Part   Part   `json:"part"`
	Entry  int64  `json:"entry"`            // number; -1 if it is not of one entry
	Column string `json:"column,omitempty"` // what of the entry or object
	Index  int64  `json:"index"`            // of the stored hash; -1
	Level  int    `json:"level"`            // of the stored hash in the tree; -1
	Object Ref    `json:"object,omitzero"`
	Chain  string `json:"chain,omitempty"`
	Detail string `json:"detail"`
}

// String returns the place and what is wrong, on one line.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(string(f.Part))
	switch f.Part {
	case PartEntry:
		fmt.Fprintf(&b, " %d", f.Entry)
	case PartHash:
		fmt.Fprintf(&b, " %d (level %d)", f.Index, f.Level)
	case PartIndex:
		fmt.Fprintf(&b, " of entry %d under %s %q", f.Entry, f.Object.Kind, f.Object.ID)
	case PartObject:
		fmt.Fprintf(&b, " %s %q", f.Object.Kind, f.Object.ID)
	case PartFeed:
		fmt.Fprintf(&b, " chain %q, operation %d", f.Chain, f.Index)
	}
	if f.Column != "" {
		b.WriteString(", " + f.Column)
	}
	return b.String() + ": " + f.Detail
}

func entryFault(number int64, column, format string, args ...any) Fault {
	return Fault{Part: PartEntry, Entry: number, Column: column, Index: -1, Level: -1, Detail: fmt.Sprintf(format, args...)}
}

func hashFault(index int64, detail string) Fault {
	level, _ := tlog.SplitStoredHashIndex(index)
	return Fault{Part: PartHash, Entry: -1, Index: index, Level: level, Detail: detail}
}

func checkpointFault(format string, args ...any) Fault {
	return Fault{Part: PartCheckpoint, Entry: -1, Index: -1, Level: -1, Detail: fmt.Sprintf(format, args...)}
}

// Verify recomputes everything from the stored entries and compares: seals,
// commitments, every hash of the tree, the root that was signed, the columns
// and the index that entries are selected by, the objects folded from them,
// and the sequence of feed operations. What it finds is in the report; the
// error says that it could not be completed.
//
// It runs beside a node at work; entries appended after its beginning are left
// for the next time. Private data, counters and objects of kinds without a
// fold do not follow from entries and are not checked.
func (l *Log) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verification{log: l, o: o, seed: maphash.MakeSeed(), right: make(map[int64]tlog.Hash)}
	v.report = Report{Origin: l.origin, Signed: -1}
	if err := v.entries(ctx); err != nil {
		return v.report, err
	}
	if err := v.objects(ctx); err != nil {
		return v.report, err
	}
	if err := v.feed(ctx); err != nil {
		return v.report, err
	}
	slices.SortStableFunc(v.report.Faults, func(a, b Fault) int { return a.compare(b) })
	return v.report, nil
}

func (f Fault) compare(o Fault) int {
	order := func(p Part) int {
		return slices.Index([]Part{PartCheckpoint, PartEntry, PartHash, PartIndex, PartObject, PartFeed}, p)
	}
	if c := order(f.Part) - order(o.Part); c != 0 {
		return c
	}
	for _, c := range []int{int(min(max(f.Entry-o.Entry, -1), 1)), int(min(max(f.Index-o.Index, -1), 1))} {
		if c != 0 {
			return c
		}
	}
	return strings.Compare(f.Object.Kind+"\x00"+f.Object.ID+f.Column, o.Object.Kind+"\x00"+o.Object.ID+o.Column)
}

// verification is one run of Verify.
type verification struct {
	log  *Log
	o    VerifyOptions
	seed maphash.Seed

	mu     sync.Mutex
	report Report
	done   int64
	right  map[int64]tlog.Hash // what stored hashes at fault should be
}

func (v *verification) wrongHash(index int64, right tlog.Hash, detail string) {
	v.fault(hashFault(index, detail))
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.right) < 1<<16 {
		v.right[index] = right
	}
}

// readHashes returns stored hashes, corrected.
func (v *verification) readHashes(r StoreReader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if h, ok := v.right[index]; ok {
				out[i] = h
				continue
			}
			h, err := r.Hashes([]int64{index})
			if err != nil {
				return nil, err
			}
			out[i] = h[0]
		}
		return out, nil
	})
}

func (v *verification) fault(faults ...Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Found += int64(len(faults))
	for _, f := range faults {
		if len(v.report.Faults) < MaxFaults {
			v.report.Faults = append(v.report.Faults, f)
		}
	}
}

func (v *verification) progress(part string, n, total int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += n
	if v.o.Progress != nil {
		v.o.Progress(Progress{Part: part, Done: v.done, Total: total})
	}
}

// Entries are verified in chunks of 2^chunkLevel, each a complete subtree
// except the last.
const (
	chunkLevel = 13
	chunkSize  = 1 << chunkLevel
)

// chunk is a range of entries and what was computed from it.
type chunk struct {
	n      int64 // chunk number
	edge   []subtree
	high   []storedHash // hashes above the chunk's own subtree that its last leaf completed
	about  uint64       // sum of the hashes of (number, object)
	erased int64
}

type subtree struct {
	level int
	hash  tlog.Hash
}

type storedHash struct {
	hash tlog.Hash
	ok   bool // there is one
}

func (v *verification) entries(ctx context.Context) error {
	var note []byte
	var signedSize int64
	size := int64(0)
	err := v.log.store.View(ctx, func(r StoreReader) (err error) {
		if size, err = r.Size(); err != nil {
			return err
		}
		note, signedSize, err = r.Checkpoint()
		return err
	})
	if err != nil {
		return err
	}
	v.report.Size = size
	chunks := (size + chunkSize - 1) / chunkSize
	about := make([]uint64, chunks)

	g, gctx := errgroup.WithContext(ctx)
	work := make(chan int64) // closed by the first goroutine below
	out := make(chan *chunk, v.o.Workers)
	g.Go(func() error {
		defer close(work)
		for n := range chunks {
			select {
			case work <- n:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	var workers sync.WaitGroup
	for range v.o.Workers {
		workers.Add(1)
		g.Go(func() error {
			defer workers.Done()
			w := worker{v: v, size: size}
			for n := range work {
				c, err := w.chunk(gctx, n)
				if err != nil {
					return err
				}
				select {
				case out <- c:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		workers.Wait()
		close(out)
		return nil
	})
	m := merger{v: v}
	g.Go(func() error {
		early := make(map[int64]*chunk)
		next := int64(0)
		for c := range out {
			early[c.n] = c
			for c := early[next]; c != nil; c = early[next] {
				delete(early, next)
				about[next] = c.about
				m.add(c)
				v.progress("entries", min(chunkSize, size-next*chunkSize), size)
				next++
			}
		}
		return nil
	})
	stored := make([]uint64, chunks)
	var outside []Fault
	g.Go(func() error { return v.scanAbout(gctx, size, stored, &outside) })
	if err := g.Wait(); err != nil {
		return err
	}
	v.report.Root = m.root()
	v.fault(outside...)
	if err := v.locateAbout(ctx, size, about, stored); err != nil {
		return err
	}
	return v.checkpoint(ctx, note, signedSize, size)
}

// worker verifies chunks, one after the other, in one goroutine.
type worker struct {
	v      *verification
	size   int64
	stored []storedHash
	leaves []tlog.Hash
	buf    []byte
	c      *chunk
}

func (w *worker) chunk(ctx context.Context, n int64) (*chunk, error) {
	lo := n * chunkSize
	hi := min(lo+chunkSize, w.size)
	base, end := tlog.StoredHashIndex(0, lo), tlog.StoredHashCount(hi)
	w.c = &chunk{n: n}
	w.leaves = w.leaves[:0]
	w.stored = slices.Grow(w.stored[:0], int(end-base))[:end-base]
	clear(w.stored)
	err := w.v.log.store.View(ctx, func(r StoreReader) error {
		err := r.ScanHashes(base, end, func(index int64, h tlog.Hash) error {
			w.stored[index-base] = storedHash{h, true}
			return nil
		})
		if err != nil {
			return err
		}
		next := lo
		err = r.ScanRows(lo, hi, func(row *Row) error {
			for ; next < row.Number; next++ {
				w.missing(next, base)
			}
			w.row(row, base)
			next++
			return nil
		})
		for ; err == nil && next < hi; next++ {
			w.missing(next, base)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	w.subtrees(lo, base)
	if hi-lo == chunkSize {
		w.c.high = slices.Clone(w.stored[2*chunkSize-1:])
	}
	return w.c, nil
}

func (w *worker) at(index, base int64) storedHash {
	if i := index - base; i >= 0 && i < int64(len(w.stored)) {
		return w.stored[i]
	}
	return storedHash{}
}

func (w *worker) missing(number, base int64) {
	w.v.fault(entryFault(number, "", "is missing"))
	w.leaves = append(w.leaves, w.at(tlog.StoredHashIndex(0, number), base).hash)
}

// row checks one entry by itself and against its leaf.
func (w *worker) row(row *Row, base int64) {
	w.columns(row)
	index := tlog.StoredHashIndex(0, row.Number)
	leaf := w.at(index, base)
	erased := row.Payload == nil && row.Salt == nil
	if erased {
		w.c.erased++
	}
	derived := tlog.RecordHash(row.Commitment[:])
	sealOK := erased || Seal(row.Salt, row.Payload) == row.Seal
	commitOK := Commit(row.Seal, row.Head) == row.Commitment
	if sealOK && commitOK && leaf.ok && leaf.hash == derived && (erased || len(row.Salt) == SaltSize) {
		w.leaves = append(w.leaves, derived)
		return
	}
	w.leaves = append(w.leaves, w.diagnose(row, erased, sealOK, commitOK, derived, leaf, base))
}

// diagnose says which column of a faulty row does not fit the others, and
// returns the leaf to go on with.
func (w *worker) diagnose(row *Row, erased, sealOK, commitOK bool, derived tlog.Hash, leaf storedHash, base int64) tlog.Hash {
	number := row.Number
	index := tlog.StoredHashIndex(0, number)
	fault := func(column, detail string) { w.v.fault(entryFault(number, column, "%s", detail)) }
	committed := leaf.ok && leaf.hash == derived // the commitment is that of the tree
	switch {
	case !sealOK && !commitOK:
		if Commit(Seal(row.Salt, row.Payload), row.Head) == row.Commitment {
			fault("seal", "is not that of salt and payload")
		} else {
			fault("payload, salt or seal", "do not fit each other")
			fault("head", "does not fit the commitment")
		}
	case !sealOK:
		switch {
		case row.Payload == nil:
			fault("payload", "is gone without its salt")
		case row.Salt == nil:
			fault("salt", "is gone without its payload")
		case len(row.Salt) != SaltSize:
			fault("salt", "has a wrong length")
		case !canonicalPayload(row):
			fault("payload", "does not fit its seal")
		default:
			fault("payload or salt", "does not fit its seal")
		}
	case !commitOK && committed:
		if erased && canonicalHead(row) {
			fault("head or seal", "does not fit the commitment")
		} else {
			fault("head", "does not fit the commitment")
		}
	case !commitOK:
		again := Commit(row.Seal, row.Head)
		if leaf.ok && leaf.hash == tlog.RecordHash(again[:]) {
			fault("commitment", "is not that of the entry")
			return leaf.hash
		}
		fault("commitment", "fits neither the entry nor the tree")
	case len(row.Salt) != SaltSize && !erased:
		fault("salt", "has a wrong length")
	}
	if committed {
		return derived
	}
	if !leaf.ok {
		w.v.wrongHash(index, derived, fmt.Sprintf("the leaf of entry %d is missing", number))
		return derived
	}
	if sealOK && commitOK {
		// The entry fits itself: either its leaf was changed, or the whole
		// entry was. The parent, made from the leaf, tells.
		parent := w.at(tlog.StoredHashIndex(1, number/2), base)
		sibling := w.at(tlog.StoredHashIndex(0, number^1), base)
		if parent.ok && sibling.ok {
			node := func(h tlog.Hash) tlog.Hash {
				if number%2 == 0 {
					return tlog.NodeHash(h, sibling.hash)
				}
				return tlog.NodeHash(sibling.hash, h)
			}
			if node(derived) == parent.hash {
				w.v.wrongHash(index, derived, fmt.Sprintf("the leaf of entry %d is not that of the entry", number))
				return derived
			}
		}
		fault("", "is not the entry that the tree was made with")
	}
	return leaf.hash
}

func canonicalPayload(row *Row) bool {
	e, err := parseEntry(row.Head, row.Payload)
	return err == nil && bytes.Equal(appendPayload(nil, &e), row.Payload)
}

func canonicalHead(row *Row) bool {
	_, err := ParseEntry(row.Head, nil)
	return err == nil
}

// columns compares what is stored beside the head with what the head says, and
// adds up the objects.
func (w *worker) columns(row *Row) {
	w.buf = appendHeadColumns(w.buf[:0], row.Number, row.Type, row.AtMillis, row.Partner, nil)
	rest, ok := bytes.CutPrefix(row.Head, w.buf)
	if !ok || len(rest) == 0 || rest[0] != ',' || bytes.HasPrefix(rest, []byte(`,"partner"`)) {
		w.columnFault(row)
	}
	err := headAbout(row.Head, func(kind, id []byte) {
		w.buf = appendPair(w.buf[:0], row.Number, kind, id)
		w.c.about += maphash.Bytes(w.v.seed, w.buf)
	})
	if err != nil {
		w.v.fault(entryFault(row.Number, "head", "%s", err))
	}
}

func appendPair(b []byte, number int64, kind, id []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(number))
	b = append(b, kind...)
	b = append(b, 0)
	return append(b, id...)
}

func (w *worker) columnFault(row *Row) {
	var h headJSON
	if err := json.Unmarshal(row.Head, &h); err != nil {
		w.v.fault(entryFault(row.Number, "head", "cannot be read: %s", err))
		return
	}
	switch {
	case h.Number != row.Number:
		w.v.fault(entryFault(row.Number, "head", "is that of entry %d", h.Number))
	case h.Type != row.Type:
		w.v.fault(entryFault(row.Number, "type", "is %q, and the head says %q", row.Type, h.Type))
	case h.AtMillis != row.AtMillis:
		w.v.fault(entryFault(row.Number, "at_ms", "is %d, and the head says %d", row.AtMillis, h.AtMillis))
	case h.Partner != row.Partner:
		w.v.fault(entryFault(row.Number, "partner", "is %q, and the head says %q", row.Partner, h.Partner))
	default:
		w.v.fault(entryFault(row.Number, "head", "is not in canonical form"))
	}
}

// subtrees computes the hashes above the leaves of the chunk, compares them
// with the stored ones and leaves the complete subtrees, largest first.
func (w *worker) subtrees(lo, base int64) {
	level := 0
	for nodes := w.leaves; len(nodes) > 0; level++ {
		if len(nodes)%2 == 1 {
			w.c.edge = append(w.c.edge, subtree{level, nodes[len(nodes)-1]})
		}
		half := nodes[:len(nodes)/2]
		first := lo >> (level + 1)
		for i := range half {
			half[i] = tlog.NodeHash(nodes[2*i], nodes[2*i+1])
			index := tlog.StoredHashIndex(level+1, first+int64(i))
			switch stored := w.at(index, base); {
			case !stored.ok:
				w.v.wrongHash(index, half[i], "is missing")
			case stored.hash != half[i]:
				w.v.wrongHash(index, half[i], "is not that of the hashes below it")
			}
		}
		nodes = half
	}
	slices.Reverse(w.c.edge)
}

// merger puts the subtrees of the chunks together.
type merger struct {
	v      *verification
	stack  []subtree // complete subtrees so far, largest first
	leaves int64
}

func (m *merger) add(c *chunk) {
	m.v.report.Erased += c.erased
	for _, s := range c.edge {
		m.leaves += 1 << s.level
		high := 0
		for len(m.stack) > 0 && m.stack[len(m.stack)-1].level == s.level {
			left := m.stack[len(m.stack)-1]
			m.stack = m.stack[:len(m.stack)-1]
			s = subtree{s.level + 1, tlog.NodeHash(left.hash, s.hash)}
			index := tlog.StoredHashIndex(s.level, m.leaves>>s.level-1)
			switch {
			case high >= len(c.high) || !c.high[high].ok:
				m.v.wrongHash(index, s.hash, "is missing")
			case c.high[high].hash != s.hash:
				m.v.wrongHash(index, s.hash, "is not that of the hashes below it")
			}
			high++
		}
		m.stack = append(m.stack, s)
	}
}

func (m *merger) root() tlog.Hash {
	if len(m.stack) == 0 {
		return emptyRoot
	}
	h := m.stack[len(m.stack)-1].hash
	for i := len(m.stack) - 2; i >= 0; i-- {
		h = tlog.NodeHash(m.stack[i].hash, h)
	}
	return h
}
