package index

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// buildChunk is how many slots are sorted by the high half of their key before
// they are put into a table, so that the writes stay within a few pages.
const buildChunk = 1 << 18

// fillEmpty is InsertAll for an index that never had an entry. Entries get a
// slot each as they come; what finds them is made afterwards, in order of
// memory instead of theirs. The caller holds the locks.
func (x *Index) fillEmpty(entries iter.Seq[Entry]) (err error) {
	x.building = true
	defer func() { x.building = false }()
	n := 0
	for e := range entries {
		if err = checkDistance(e.MaxDistance); err != nil {
			err = fmt.Errorf("entry %d: %w", n, err)
			break
		}
		slot := x.newSlot()
		x.hash.grow(int(slot) + 1)
		x.hash.s[slot] = words(&e.Hash)
		x.own.s[slot/64] |= 1 << (slot % 64)
		x.id.s[slot], x.meta.s[slot] = e.ID, uint8(e.MaxDistance)
		x.count(e.MaxDistance, 1)
		x.n++
		if n++; n%writeChunk == 0 {
			x.mu.Unlock() // for searches, which look at the slots one by one
			x.mu.Lock()
		}
	}
	hash := x.hash.s
	x.mu.Unlock() // searches read, and nobody else writes
	again := x.fillMaps()
	x.mu.Lock()
	// A hash that comes again has no slot of its own. That is rare enough to
	// insert it again as if it came now.
	for _, slot := range again {
		e := Entry{ID: x.id.s[slot], MaxDistance: int(x.meta.s[slot])}
		if _, empty := x.remove(slot); !empty {
			panic("index: slot is still in use") // a bug of this package
		}
		x.dropSlot(slot)
		if first, ok := x.hashes.find(x.hashHash(&hash[slot]), func(s uint32) bool { return x.hash.s[s] == hash[slot] }); ok {
			x.set(first, e.ID, e.MaxDistance)
		}
	}
	if len(hash) > smallIndex {
		used := x.used
		if len(again) == 0 {
			used = nil
		}
		x.mu.Unlock()
		x.tables.build(hash, used)
		x.mu.Lock()
		x.indexed = len(hash)
	}
	return err
}

// fillMaps makes the maps of hashes and ids of slots that all have one entry of
// their own. It returns those whose hash an earlier slot has, in order.
func (x *Index) fillMaps() (again []uint32) {
	n := len(x.hash.s)
	var g sync.WaitGroup
	g.Go(func() {
		x.hashes.fill(n, func(a, b uint32) bool { return x.hash.s[a] == x.hash.s[b] }, func(_, s uint32) { again = append(again, s) })
	})
	g.Go(func() {
		// As join would for each of them alone; a ring of one has no links.
		x.ids.fill(n, func(a, b uint32) bool { return x.id.s[a] == x.id.s[b] }, func(first, s uint32) {
			if x.next(first) == first {
				x.linked++
			}
			x.linked++
			x.join(s, x.next(first))
			x.join(first, s)
		})
	})
	g.Wait()
	slices.Sort(again)
	return again
}

// build fills empty tables with all slots, or those that used says are.
// It counts first, so that each bucket is written in its final place.
func (t *tables) build(hash [][4]uint64, used func(slot uint32) bool) {
	t.pages.grow(nTables * nPages)
	counts := new([nTables][1 << 16]uint32)
	parallel(nTables/4, func(w int) {
		a, b, c, d := &counts[4*w], &counts[4*w+1], &counts[4*w+2], &counts[4*w+3]
		for s := range hash {
			if used != nil && !used(uint32(s)) {
				continue
			}
			v := hash[s][w]
			a[uint16(v)]++
			b[uint16(v>>16)]++
			c[uint16(v>>32)]++
			d[uint16(v>>48)]++
		}
	})

	frames := 0
	for i := range nTables {
		for k := 0; k < 1<<16; k += pageKeys {
			n := uint32(0)
			for _, c := range counts[i][k : k+pageKeys] {
				n += c
			}
			frames += int(framesOf(n))
		}
	}
	first := uint32(len(t.near.s))
	t.growFrames(int(first) + frames)
	if len(hash) > 1<<24 {
		t.top.grow(len(t.near.s))
	}
	// The frames of a table, and of a page, are in a row; so counts become the
	// places of each bucket's next element, counted from the table's first.
	var firsts [nTables]uint32
	for i := range nTables {
		firsts[i] = first
		for pg := range nPages {
			p, n := &t.pages.s[i*nPages+pg], uint32(0)
			base := (first - firsts[i]) * frameLen
			for b := range uint32(pageKeys) {
				c := &counts[i][uint32(pg)*pageKeys+b]
				*c, n = base+n, n+*c
				p.end[b] = n
			}
			for f := range framesOf(n) {
				t.push(p, f, first)
				first++
			}
		}
	}
	chunks := sync.Pool{New: func() any { return new([buildChunk]element) }}
	parallel(nTables, func(i int) {
		chunk := chunks.Get().(*[buildChunk]element)
		t.fill(i, hash, used, &counts[i], firsts[i], chunk)
		chunks.Put(chunk)
	})
}

// An element is one of a table, before it is in its place.
type element struct {
	key, near uint16
	slot      uint32
}

// fill writes the elements of one table, whose frames begin with first. at is
// the next place in each bucket.
func (t *tables) fill(table int, hash [][4]uint64, used func(slot uint32) bool, at *[1 << 16]uint32, first uint32, chunk *[buildChunk]element) {
	near, lo, hi, top := t.near.s[first:], t.lo.s[first:], t.hi.s[first:], t.top.s
	if len(top) > 0 {
		top = top[first:]
	}
	w, shift := table/4, 16*(table&3)
	next := (table + 1) % nTables
	w2, shift2 := next/4, 16*(next&3)
	for from := 0; from < len(hash); from += buildChunk {
		part := hash[from:min(from+buildChunk, len(hash))]
		var ends [257]uint32
		for s := range part {
			ends[uint16(part[s][w]>>shift)>>8+1]++
		}
		for i := 1; i < len(ends); i++ {
			ends[i] += ends[i-1]
		}
		for s := range part {
			h := &part[s]
			key := uint16(h[w] >> shift)
			chunk[ends[key>>8]%buildChunk] = element{key, uint16(h[w2] >> shift2), uint32(from + s)}
			ends[key>>8]++
		}
		for _, e := range chunk[:len(part)] {
			if used != nil && !used(e.slot) {
				continue
			}
			i := at[e.key]
			at[e.key] = i + 1
			f, j := i/frameLen, i%frameLen
			near[f][j], lo[f][j], hi[f][j] = e.near, uint16(e.slot), uint8(e.slot>>16)
			if len(top) > 0 {
				top[f][j] = uint8(e.slot >> 24)
			}
		}
	}
}

// parallel runs f for 0 to n-1, on as many goroutines as there are processors
// for, at most four, and waits for all.
func parallel(n int, f func(i int)) {
	var next atomic.Int64
	var g sync.WaitGroup
	for range min(4, n, runtime.GOMAXPROCS(0)) {
		g.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	g.Wait()
}
