package index

import "math/bits"

// seenSlots remembers slots that were compared with the query, until another
// takes the place: most of the copies that a cluster has in other tables
// need no second look. It is lossy; earlier is not.
type seenSlots [1 << 14]uint32

// again says whether a slot was seen, and remembers it.
func (t *seenSlots) again(slot uint32) bool {
	p := &t[slot*0x9e3779b1>>(32-14)]
	if *p == slot+1 {
		return true
	}
	*p = slot + 1
	return false
}

// compare compares the gathered elements with the query: first their next
// words, then the hashes of those that pass.
func (x *Index) compare(s *searcher, seen *seenSlots) {
	var slots [searchSlots]uint32
	var tables [searchSlots]uint8
	n := 0
	for from := 0; from < s.n; {
		done, kept := filter(x.tables.near.s, &s.runs, from, s.n, &s.items)
		from = done
		for i := range s.items[:kept] {
			it := &s.items[i]
			s.spent += bits.OnesCount32(it.mask)
			for m := it.mask; m != 0; m &= m - 1 {
				slot := x.tables.slot(it.frame, uint32(bits.TrailingZeros32(m)))
				if seen != nil && seen.again(slot) {
					continue
				}
				slots[n], tables[n] = slot, uint8(it.table)
				if n++; n == len(slots) {
					x.verify(s, slots[:n], &tables)
					n = 0
				}
			}
		}
	}
	s.n = 0
	x.verify(s, slots[:n], &tables)
}

// verify keeps those slots that are near enough, unless an earlier table has
// found them too.
func (x *Index) verify(s *searcher, slots []uint32, tables *[searchSlots]uint8) {
	hash := x.hash.s
	for _, slot := range slots { // all reads at once, as in touch
		s.touched += uint32(hash[slot][0])
	}
	for i, slot := range slots {
		h := &hash[slot]
		if d := distance(&s.q, h); d <= s.r && !s.earlier(h, int(tables[i&(searchSlots-1)])) {
			s.hits[s.nHits] = hit{slot, uint32(d)}
			if s.nHits++; s.nHits == len(s.hits) {
				x.emitAll(s)
			}
		}
	}
}

// emitAll appends the entries of the slots found.
func (x *Index) emitAll(s *searcher) {
	hits := s.hits[:s.nHits]
	s.nHits = 0
	for i := range hits { // as in touch
		slot := hits[i].slot
		s.touched += uint32(x.meta.s[slot]) + uint32(x.id.s[slot]) + uint32(x.own.s[slot/64])
	}
	for i := range hits {
		s.dst = x.emit(s.dst, hits[i].slot, int(hits[i].distance), s.r)
	}
}

// earlier says whether a table before the given one has found h.
func (s *searcher) earlier(h *[4]uint64, table int) bool {
	var d [nTables + 1]uint8
	for i, w := range h {
		v := w ^ s.q[i]
		v -= v >> 1 & 0x5555555555555555
		v = v&0x3333333333333333 + v>>2&0x3333333333333333
		v = (v + v>>4) & 0x0f0f0f0f0f0f0f0f
		v += v >> 8
		for j := range 4 {
			d[4*i+j] = uint8(v>>(16*j)) & 0x1f
		}
	}
	for i := range table {
		if d[i] < s.quota[i] && d[i]+d[i+1] < s.quota[i]+s.quota[i+1] {
			return true
		}
	}
	return false
}
