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
