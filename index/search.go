package index

import (
	"math"
	"math/bits"
	"slices"
)

// maxQuota bounds the thresholds of a table: at most maxQuota-1 bits of a key
// are flipped. Past that a linear scan is cheaper.
const maxQuota = 5

// masks[t] are the 16-bit numbers of at most t ones, in order, so that those
// of one page follow each other.
var masks = func() (m [maxQuota][]uint16) {
	for v := range 1 << 16 {
		for t := bits.OnesCount(uint(v)); t < maxQuota; t++ {
			m[t] = append(m[t], uint16(v))
		}
	}
	return m
}()

// What a search costs, in units of an element looked at. An element of a
// bucket that is t flips away is looked at more closely if its next word
// passes, which of random ones 2, 3, … 10 % do.
const (
	costBucket = 40
	costScan   = 12 // an entry of a linear scan
)

var costElement = [maxQuota]float64{1, 1.1, 1.6, 3.3, 7.3}

// An item is up to 32 elements to look at: those of a frame that are in mask.
type item struct {
	frame, mask uint32
	near        uint16 // the query's word that theirs is compared with
	limit       uint8  // and the greatest distance from it
	table       uint8
}

// searchItems is how many items are gathered before they are looked at, so
// that the reads of memory overlap.
const searchItems = 512

// A searcher is the state of one search. It lives on the stack.
type searcher struct {
	q     [4]uint64
	word  [nTables]uint16
	quota [nTables]uint8 // 1 + threshold of each table; 0 leaves it out
	r     int
	n     int
	items [searchItems + filterAhead]item
	dst   []Match
}

// Search appends to dst every entry whose distance from h is at most
// maxDistance and at most its own greatest distance, in no particular order,
// and returns the extended slice. An id appears once for each of its hashes
// that match. It allocates nothing if dst has room. A maxDistance under 0
// matches nothing, one above MaxDistance counts as MaxDistance.
//
// The time it takes grows with the smaller of maxDistance and the greatest
// distance of any entry: up to 31 a ten-thousandth of the entries are looked
// at, up to 47 a hundredth, beyond some 80 all.
func (x *Index) Search(dst []Match, h *Hash, maxDistance int) []Match {
	var s searcher
	s.q, s.dst = words(h), dst
	x.mu.RLock()
	s.r = min(maxDistance, x.widest)
	if s.r < 0 || x.n == 0 {
		x.mu.RUnlock()
		return dst
	}
	if x.indexed > 0 && !x.plan(&s) {
		x.mu.RUnlock()
		return x.Scan(dst, h, maxDistance)
	}
	if x.indexed > 0 {
		x.probe(&s)
	}
	s.dst = x.scan(s.dst, &s.q, s.r, x.indexed, len(x.hash.s))
	x.mu.RUnlock()
	return s.dst
}

// plan chooses the tables' thresholds, or says that a linear scan is cheaper.
//
// Two hashes at most r apart differ, in some word i, by less than quota[i], if
// the quotas add up to r+1 (the generalised pigeonhole). More than that: going
// round from some such i, the bits that differ in i, i+1, … stay below the sum
// of these words' quotas all the way (else the rounds could be cut in pieces
// that each reach their quotas, and so together r+1). Searching
// table i for elements whose word i and words i and i+1 together pass is
// therefore enough.
func (x *Index) plan(s *searcher) bool {
	for i := range s.word {
		s.word[i] = word(&s.q, i)
	}
	least, more := (s.r+1)/nTables, (s.r+1)%nTables
	top := least
	if more > 0 {
		top++
	}
	if top > maxQuota {
		return false
	}
	var cost [nTables][maxQuota + 1]float64
	for i := range cost {
		x.cost(s.word[i], i, top, &cost[i])
	}
	// Without skew, equal quotas are best; the cheapest tables take one more.
	var order [nTables]uint8
	for i := range order {
		order[i] = uint8(i)
	}
	if more > 0 {
		slices.SortFunc(order[:], func(a, b uint8) int {
			da, db := cost[a][top]-cost[a][least], cost[b][top]-cost[b][least]
			switch {
			case da < db:
				return -1
			case da > db:
				return 1
			}
			return int(a) - int(b)
		})
	}
	total, expected := 0.0, 0.0
	for k, i := range order {
		q := least
		if k < more {
			q = top
		}
		s.quota[i] = uint8(q)
		total += cost[i][q]
		if q > 0 {
			v := float64(len(masks[q-1]))
			expected += v*costBucket + v/(1<<16)*float64(x.indexed)*costElement[q-1]
		}
	}
	if total > 2*expected+2000 {
		for top < maxQuota && total > 16*8*float64(len(masks[top])) {
			top++
			for i := range cost {
				x.cost(s.word[i], i, top, &cost[i])
			}
			total = s.allocate(&cost, top)
		}
	}
	return total < costScan*float64(x.indexed)
}

// cost sets what searching a table with each quota up to top costs.
func (x *Index) cost(key uint16, table, top int, cost *[maxQuota + 1]float64) {
	if top == 0 {
		return
	}
	pages := x.tables.pages.s[table*nPages : (table+1)*nPages]
	var n [maxQuota]uint32
	for _, m := range masks[top-1] {
		k := key ^ m
		p := &pages[k/pageKeys]
		n[bits.OnesCount16(m)] += p.end[k%pageKeys] - p.start(uint32(k%pageKeys))
	}
	sum := 0.0
	for t := range top {
		sum += float64(n[t]) * costElement[t]
		cost[t+1] = sum + costBucket*float64(len(masks[t]))
	}
}

// allocate finds the quotas up to top that add up to r+1 at the least cost,
// which it returns.
func (s *searcher) allocate(cost *[nTables][maxQuota + 1]float64, top int) float64 {
	const most = nTables * maxQuota
	var best [most + 1]float64 // by sum of the quotas so far
	var from [nTables][most + 1]uint8
	for i := 1; i <= s.r+1; i++ {
		best[i] = math.Inf(1)
	}
	for i := range nTables {
		for sum := s.r + 1; sum >= 0; sum-- {
			least, quota := math.Inf(1), 0
			for q := 0; q <= min(top, sum); q++ {
				if c := best[sum-q] + cost[i][q]; c < least {
					least, quota = c, q
				}
			}
			best[sum], from[i][sum] = least, uint8(quota)
		}
	}
	sum := s.r + 1
	for i := nTables - 1; i >= 0; i-- {
		s.quota[i] = from[i][sum]
		sum -= int(from[i][sum])
	}
	return best[s.r+1]
}

// probe searches the tables by the plan.
func (x *Index) probe(s *searcher) {
	t := &x.tables
	for i := range nTables {
		quota := int(s.quota[i])
		if quota == 0 {
			continue
		}
		key, pages := s.word[i], t.pages.s[i*nPages:(i+1)*nPages]
		near, reach := s.word[(i+1)%nTables], quota+int(s.quota[(i+1)%nTables])-1
		for _, m := range masks[quota-1] {
			k := key ^ m
			p := &pages[k/pageKeys]
			from, to := p.start(uint32(k%pageKeys)), p.end[k%pageKeys]
			if from == to {
				continue
			}
			it := item{near: near, limit: uint8(reach - bits.OnesCount16(m)), table: uint8(i)}
			depth := depthOf(framesOf(p.end[pageKeys-1]))
			first, last := from/frameLen, (to-1)/frameLen
			for f := first; f <= last; f++ {
				it.mask = ^uint32(0)
				if f == first {
					it.mask <<= from % frameLen
				}
				if f == last {
					it.mask &= ^uint32(0) >> (frameLen - 1 - (to-1)%frameLen)
				}
				it.frame = t.frame(p, f, depth)
				if s.n == searchItems {
					x.look(s)
				}
				s.items[s.n] = it
				s.n++
			}
		}
	}
	x.look(s)
}

// look compares the gathered elements with the query: first their next words,
// then the hashes of those that pass.
func (x *Index) look(s *searcher) {
	items := s.items[:filter(x.tables.near.s, &s.items, s.n)]
	s.n = 0
	var slots [256]uint32
	var tables [256]uint8
	n := 0
	for i := range items {
		it := &items[i]
		for m := it.mask; m != 0; m &= m - 1 {
			slots[n] = x.tables.slot(it.frame, uint32(bits.TrailingZeros32(m)))
			tables[n] = it.table
			if n++; n == len(slots) {
				x.verify(s, slots[:n], &tables)
				n = 0
			}
		}
	}
	x.verify(s, slots[:n], &tables)
}

// verify appends the entries of those slots that are near enough, unless an
// earlier table has found them too.
func (x *Index) verify(s *searcher, slots []uint32, tables *[256]uint8) {
	hash := x.hash.s
	for i, slot := range slots {
		h := &hash[slot]
		if d := distance(&s.q, h); d <= s.r && !s.earlier(h, int(tables[i&255])) {
			s.dst = x.emit(s.dst, slot, d, s.r)
		}
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
