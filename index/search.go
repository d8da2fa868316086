package index

import "math/bits"

// A run is some elements of one bucket: those in up to 16 frames that follow
// each other in a list, a page's or a node's.
type run struct {
	frames      *uint32 // the first frame's number
	first, last uint32  // which elements of the first and of the last frame
	near        uint16  // the query's word that theirs is compared with
	limit       uint8   // and the greatest distance from it
	table       uint8
	n           uint8 // frames
}

// An item is the elements of a frame, by mask, that passed the comparison.
type item struct{ frame, mask, table uint32 }

// Runs are gathered before any is compared, so that the reads of memory
// overlap. Each bucket of the usual case is in at most two runs.
const (
	searchRuns  = 2 * 17 * nTables
	searchItems = 256
	searchSlots = 256
	searchHits  = 64
)

// A hit is a slot that is near enough.
type hit struct {
	slot     uint32
	distance uint32
}

// A searcher is the state of one search. It lives on the stack.
type searcher struct {
	q     [4]uint64
	word  [nTables]uint16
	quota [nTables]uint8 // 1 + threshold of each table; 0 leaves it out
	r     int
	n     int // runs
	runs  [searchRuns]run
	items [searchItems]item
	hits  [searchHits]hit // found, not in dst yet
	nHits int
	spent int // elements that passed the filter so far
	dst   []Match

	touched uint32 // keeps reads that are made for the cache
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
	if x.indexed > 0 {
		for i := range s.word {
			s.word[i] = word(&s.q, i)
		}
		if x.gather(&s) {
			x.compare(&s, nil)
		} else if !x.plan(&s) || !x.probe(&s) {
			x.mu.RUnlock()
			return x.Scan(dst, h, maxDistance)
		}
		x.emitAll(&s)
	}
	s.dst = x.scan(s.dst, &s.q, s.r, x.indexed, len(x.hash.s))
	x.mu.RUnlock()
	return s.dst
}

// gather is plan and probe for the usual case, equal quotas of at most two and
// no bucket that is much larger than others. It reads no page twice. It
// gathers nothing if the case is another.
func (x *Index) gather(s *searcher) bool {
	least, more := (s.r+1)/nTables, (s.r+1)%nTables
	if s.r >= 2*nTables {
		return false
	}
	for i := range s.quota {
		s.quota[i] = uint8(least)
		if i < more {
			s.quota[i]++
		}
	}
	t := &x.tables
	pages := (*[nTables * nPages]page)(t.pages.s)
	s.touched = touch(pages, &s.word)
	elements, probes := uint32(0), 0
	for i := range nTables {
		quota := s.quota[i]
		if quota == 0 {
			continue
		}
		table := (*[nPages]page)(pages[i*nPages:])
		word := uint32(s.word[i])
		limit := quota + s.quota[(i+1)%nTables] - 1
		key, flips := word, 0
		if quota == 2 {
			flips = 16
		}
		probes += 1 + flips
		for flip := 0; ; flip++ {
			p, b := &table[key/pageKeys], key%pageKeys
			from, to := p.start(b), p.end[b]
			elements += to - from
			if from != to {
				first, last, n := from/frameLen, (to-1)/frameLen, p.end[pageKeys-1]
				r := &s.runs[s.n]
				s.n++
				r.near, r.limit, r.table, r.n = s.word[(i+1)%nTables], limit, uint8(i), uint8(last-first+1)
				r.first = ^uint32(0) << (from % frameLen)
				r.last = ^uint32(0) >> (frameLen - 1 - (to-1)%frameLen)
				switch {
				case n <= pageRefs*frameLen:
					r.frames = &p.ref[first%pageRefs]
				case last-first >= nodeLen:
					s.n = 0
					return false
				default:
					depth := depthOf(framesOf(n))
					r.frames = t.frames(p, first, depth)
					if first/nodeLen == last/nodeLen {
						break
					}
					next := &s.runs[s.n]
					s.n++
					*next = *r
					r.n, r.last = uint8(nodeLen-first%nodeLen), ^uint32(0)
					next.frames = t.frames(p, last&^(nodeLen-1), depth)
					next.n, next.first = uint8(last%nodeLen+1), ^uint32(0)
				}
			}
			if flip == flips {
				break
			}
			if flip == 0 {
				limit--
			}
			key = word ^ 1<<flip
		}
	}
	if usual := float64(probes) / (1 << 16) * float64(x.indexed); float64(elements) > 1.5*usual+1000 {
		s.n = 0
		return false
	}
	for i := range s.runs[:s.n] {
		s.touched += *s.runs[i].frames
	}
	return true
}

// touch reads the pages that a search of thresholds of one begins with, each
// read independent of the others, so that the processor waits for many at a
// time. (Of prefetch instructions the processors tried did not carry out all.)
func touch(pages *[nTables * nPages]page, words *[nTables]uint16) (sum uint32) {
	for i, w := range words {
		table := (*[nPages]page)(pages[i*nPages:])
		key := uint32(w)
		sum += table[key/pageKeys].end[0]
		for flip := uint32(pageKeys); flip < 1<<16; flip <<= 1 {
			sum += table[(key^flip)/pageKeys%nPages].end[0]
		}
	}
	return sum
}

// probe searches the tables by the plan. It gives up, and says so, when so
// much passes the filter that a linear scan would have been cheaper.
func (x *Index) probe(s *searcher) bool {
	var seen seenSlots
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
			r := run{near: near, limit: uint8(reach - bits.OnesCount16(m)), table: uint8(i)}
			depth := depthOf(framesOf(p.end[pageKeys-1]))
			listLen := uint32(nodeLen)
			if depth == 0 {
				listLen = pageRefs
			}
			first, last := from/frameLen, (to-1)/frameLen
			for f := first; f <= last; f += uint32(r.n) {
				r.first, r.last = ^uint32(0), ^uint32(0)
				if f == first {
					r.first <<= from % frameLen
				}
				r.n = uint8(min(listLen-f%listLen, last-f+1))
				if f+uint32(r.n) > last {
					r.last >>= frameLen - 1 - (to-1)%frameLen
				}
				r.frames = t.frames(p, f, depth)
				if s.n == searchRuns {
					x.compare(s, &seen)
					if s.spent > x.indexed/8 {
						return false
					}
				}
				s.runs[s.n] = r
				s.n++
			}
		}
	}
	x.compare(s, &seen)
	return true
}
