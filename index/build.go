package index

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// buildChunk is how many slots are sorted by the high half of their key before
// they are put into a table, so that the writes stay within a few pages.
const buildChunk = 1 << 18

// build fills empty tables with all slots, which must be in use. It counts
// first, so that each bucket is written in its final place.
func (t *tables) build(hash [][4]uint64) {
	t.pages.grow(nTables * nPages)
	var counts [nTables][]uint32
	parallel(nTables, func(i int) {
		c := make([]uint32, 1<<16)
		for s := range hash {
			c[word(&hash[s], i)]++
		}
		counts[i] = c
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
	var firsts [nTables][nPages]uint32 // of each page, whose frames are in a row
	for i := range nTables {
		for pg := range nPages {
			p, n := &t.pages.s[i*nPages+pg], uint32(0)
			for b, c := range counts[i][pg*pageKeys : (pg+1)*pageKeys] {
				n += c
				p.end[b] = n
			}
			firsts[i][pg] = first
			for f := range framesOf(n) {
				t.push(p, f, first)
				first++
			}
		}
	}
	chunks := sync.Pool{New: func() any { return new([buildChunk]element) }}
	parallel(nTables, func(i int) {
		chunk := chunks.Get().(*[buildChunk]element)
		t.fill(i, hash, counts[i], &firsts[i], chunk)
		chunks.Put(chunk)
	})
}

// An element is one of a table, before it is in its place.
type element struct {
	key, near uint16
	slot      uint32
}

// fill writes the elements of one table. It uses at as the next place in each
// bucket.
func (t *tables) fill(table int, hash [][4]uint64, at []uint32, firsts *[nPages]uint32, chunk *[buildChunk]element) {
	for pg := range nPages {
		p := &t.pages.s[table*nPages+pg]
		for b := range uint32(pageKeys) {
			at[uint32(pg)*pageKeys+b] = p.start(b)
		}
	}
	for from := 0; from < len(hash); from += buildChunk {
		part := hash[from:min(from+buildChunk, len(hash))]
		var next [257]uint32
		for s := range part {
			next[word(&part[s], table)>>8+1]++
		}
		for i := 1; i < len(next); i++ {
			next[i] += next[i-1]
		}
		for s := range part {
			key := word(&part[s], table)
			chunk[next[key>>8]] = element{key, word(&part[s], (table+1)%nTables), uint32(from + s)}
			next[key>>8]++
		}
		for _, e := range chunk[:len(part)] {
			pos := at[e.key]
			at[e.key]++
			t.set(firsts[e.key/pageKeys]+pos/frameLen, pos, e.near, e.slot)
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
