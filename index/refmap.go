package index

import "math/bits"

// A refmap finds the reference (slot or extra) of a key, given the hash of the
// key. It holds nothing but references, four bytes each; keys are looked up
// where the references point.
//
// It is an open-addressed table with linear probing: a hash h has its home at
// h*cells/2^64, and cells are in the order of their homes, so that a search
// for what is not there ends early even in a table nine tenths full. As homes
// are in the order of hashes, the table grows without a pause: cells move from
// the old to the new table from left to right, a few with each insertion, and
// the old table's memory is given back behind them.
// At any time cells before moved have left the old table, and the cell before
// moved is empty, so that a hash whose home in the old table is before moved
// is found in the new one and nowhere else.
type refmap struct {
	cur, next region[uint32] // reference + 1, 0 is empty
	cells     uint64         // homes of cur; probing may run past them
	nextCells uint64         // homes of next while growing, else 0
	moved     uint64         // cells of cur that have moved to next
	n         int
	hash      func(ref uint32) uint64
}

const (
	refmapFirst = 64 // cells
	refmapPad   = 64 // cells past the last home, more when needed
	refmapMove  = 32 // cells moved with an insertion
)

func (m *refmap) init(maps *mappings, hash func(ref uint32) uint64) {
	m.cur.maps, m.next.maps, m.hash = maps, maps, hash
}

func home(h, cells uint64) uint64 {
	hi, _ := bits.Mul64(h, cells)
	return hi
}

// in returns the table that holds hash h, and its home there.
func (m *refmap) in(h uint64) (*region[uint32], uint64) {
	at := home(h, m.cells)
	if m.nextCells > 0 && at < m.moved {
		return &m.next, home(h, m.nextCells)
	}
	return &m.cur, at
}

// cellsOf returns the number of homes of a table.
func (m *refmap) cellsOf(t *region[uint32]) uint64 {
	if t == &m.next {
		return m.nextCells
	}
	return m.cells
}

// find returns the reference of hash h for which eq holds.
func (m *refmap) find(h uint64, eq func(ref uint32) bool) (ref uint32, ok bool) {
	if m.n == 0 {
		return 0, false
	}
	t, first := m.in(h)
	cells := m.cellsOf(t)
	for at := first; t.s[at] != 0; at++ {
		ref := t.s[at] - 1
		if eq(ref) {
			return ref, true
		}
		if home(m.hash(ref), cells) > first {
			break
		}
	}
	return 0, false
}

// replace puts ref in the place of old, which has the same hash h.
func (m *refmap) replace(h uint64, old, ref uint32) {
	t, at := m.in(h)
	for ; t.s[at] != 0; at++ {
		if t.s[at] == old+1 {
			t.s[at] = ref + 1
			return
		}
	}
}

// put adds a reference, whose key must not be there.
func (m *refmap) put(h uint64, ref uint32) {
	if m.cells == 0 {
		m.cells = refmapFirst
		m.cur.grow(refmapFirst + refmapPad)
	}
	if m.nextCells == 0 && uint64(m.n) >= m.cells/10*9 {
		m.nextCells = m.cells/4*5 + 1
		m.next.grow(int(m.nextCells) + refmapPad)
		m.moved = 0
	}
	if m.nextCells > 0 {
		m.step(refmapMove)
	}
	t, at := m.in(h)
	m.place(t, at, ref)
	m.n++
}

// place puts ref behind the cells of the same home, and moves those that
// follow up to the next empty one. The last cell of a table stays empty, so
// that probing ends.
func (m *refmap) place(t *region[uint32], first uint64, ref uint32) {
	cells, at := m.cellsOf(t), first
	for t.s[at] != 0 && home(m.hash(t.s[at]-1), cells) <= first {
		at++
	}
	end := at
	for t.s[end] != 0 {
		end++
	}
	copy(t.s[at+1:end+1], t.s[at:end])
	t.s[at] = ref + 1
	if end+2 > uint64(len(t.s)) {
		t.grow(len(t.s) + refmapPad)
	}
}

// step moves n cells and those up to the next empty one.
func (m *refmap) step(n int) {
	for end := uint64(len(m.cur.s)); m.moved < end; m.moved++ {
		c := m.cur.s[m.moved]
		if c == 0 {
			if n <= 0 {
				m.moved++
				m.cur.discard(int(m.moved))
				return
			}
		} else {
			m.place(&m.next, home(m.hash(c-1), m.nextCells), c-1)
		}
		n--
	}
	m.cur.release()
	m.cur, m.next = m.next, m.cur
	m.cells, m.nextCells, m.moved = m.nextCells, 0, 0
}

// reserve makes room for n references in all, if the map is empty and the room
// costs nothing until it is used.
func (m *refmap) reserve(n int) {
	cells := uint64(max(n, 0))/8*9 + refmapFirst
	if m.n > 0 || cells*4 < mapFrom || n > 1<<31 {
		return
	}
	m.cur.release()
	if m.cur.mapped(int(cells) + refmapPad) {
		m.cells = cells
	}
}

// fillPass is how many references fill sorts at a time.
const fillPass = 1 << 20

// fill puts the references from 0 to n-1 into an empty map. Sorting them by
// their hashes first, it reads and writes memory in order, where put would wait
// for it several times. Of references with the same key, only the first is put;
// for each of the others fill calls dup; those of one key come in their order.
func (m *refmap) fill(n int, same func(a, b uint32) bool, dup func(first, ref uint32)) {
	if uint64(n) >= m.cells/10*9 {
		m.cur.release()
		m.cells = uint64(n)/8*9 + refmapFirst
		m.cur.grow(int(m.cells) + refmapPad)
	}
	type ref struct {
		hash uint64
		ref  uint32
	}
	passes := uint64(n+fillPass-1) / fillPass
	if passes == 0 {
		return
	}
	buckets := uint64(n)/passes/8 + 1
	ends := make([]uint32, buckets+1)
	var refs []ref
	var kept []uint32
	at := uint64(0) // next free cell
	for pass := range passes {
		// Of this pass are the hashes h with h*passes/2^64 == pass; what is left
		// of the product numbers their buckets, in the order of the hashes.
		clear(ends)
		for r := range uint32(n) {
			if hi, lo := bits.Mul64(m.hash(r), passes); hi == pass {
				ends[home(lo, buckets)+1]++
			}
		}
		for i := range buckets {
			ends[i+1] += ends[i]
		}
		if total := int(ends[buckets]); cap(refs) < total {
			refs = make([]ref, total+total/16)
		}
		refs = refs[:ends[buckets]]
		for r := range uint32(n) {
			h := m.hash(r)
			if hi, lo := bits.Mul64(h, passes); hi == pass {
				b := home(lo, buckets)
				refs[ends[b]] = ref{h, r}
				ends[b]++
			}
		}
		from := uint32(0)
		for _, end := range ends[:buckets] {
			part := refs[from:end]
			from = end
			for i := 1; i < len(part); i++ { // some eight, mostly
				for j := i; j > 0 && part[j].hash < part[j-1].hash; j-- {
					part[j], part[j-1] = part[j-1], part[j]
				}
			}
			kept = kept[:0] // with the last hash: one, but for collisions
		next:
			for i, e := range part {
				if i > 0 && part[i-1].hash != e.hash {
					kept = kept[:0]
				}
				for _, k := range kept {
					if same(k, e.ref) {
						dup(k, e.ref)
						continue next
					}
				}
				kept = append(kept, e.ref)
				at = max(at, home(e.hash, m.cells))
				if at+2 > uint64(len(m.cur.s)) {
					m.cur.grow(len(m.cur.s) + refmapPad)
				}
				m.cur.s[at] = e.ref + 1
				at++
				m.n++
			}
		}
	}
}

// remove takes a reference of hash h out and closes the gap.
func (m *refmap) remove(h uint64, ref uint32) {
	t, at := m.in(h)
	for t.s[at] != ref+1 {
		if t.s[at] == 0 {
			return
		}
		at++
	}
	end, cells := at+1, m.cellsOf(t)
	for t.s[end] != 0 && home(m.hash(t.s[end]-1), cells) < end {
		end++
	}
	copy(t.s[at:end-1], t.s[at+1:end])
	t.s[end-1] = 0
	m.n--
}

func (m *refmap) bytes() int64 {
	if m.nextCells == 0 {
		return m.cur.bytes()
	}
	written := int64(m.moved) * 5 / 4 * 4 // the rest of next is not touched yet
	return m.cur.bytes() + min(m.next.bytes(), written)
}
