package local

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
	"unsafe"
)

// Match is one known picture found in a queried one.
type Match struct {
	ID        uint64
	Score     int     // evidence: the geometric mean of Places and Inliers, less where descriptors agree only so-so
	Places    int     // keypoints that agree, those at one place counted once
	Inliers   int     // keypoints that agree
	Agreement float64 // of what lies between them, from -1 to 1
	Coverage  float64 // share of the common area in which keypoints agree, 0 to 1
	Differing float64 // share of the common area that shows something else, 0 to 1
	Mirrored  bool    // the copy is a mirror image
	Negative  bool    // the copy is a negative
	Weak      bool    // too little to block: for review

	// Transform takes the known picture's pixels (at base size) to those of the
	// queried one: x' = (t0 x + t1 y + t2)/(t6 x + t7 y + t8), y' likewise.
	Transform [9]float64

	need int // Score from which a match is not weak
}

const (
	tableCount  = 2
	keyBits     = 20
	probesEach  = 16  // buckets looked into for each keypoint and table
	chunksEach  = 16  // of a bucket that are looked through: bounds the work where one pattern fills it
	queryPoints = 600 // keypoints of a query that are looked up
	sigLimit    = 15  // of the 64 bits kept beside an entry
	hitLimit    = 46  // of all 256 bits: a random pair is that near twice in 10,000
	hitsEach    = 10  // nearest known keypoints kept of each queried one
	candidates  = 10  // pictures that are checked geometrically
	minVotes    = 4   // for a check

	kiBits = 9 // of an entry's reference that number the keypoint
)

// chunk is one cache line of a bucket: up to five entries, each the last word
// of a descriptor and where that is (slot<<kiBits | keypoint), and the chunk
// that follows, 0 for none. All chunks but a bucket's first are full.
type chunk struct {
	sigs [5]uint64
	refs [5]uint32
	next uint32
}

const noRef = 1<<32 - 1

// table is a hash table from keys to entries.
type table struct {
	heads  []uint32 // first chunk of each bucket, 0 for none
	chunks []chunk  // chunk 0 is not used
	free   []uint32
}

func (t *table) add(key uint32, sig uint64, ref uint32) {
	if t.heads == nil {
		t.heads = make([]uint32, 1<<keyBits)
		huge(unsafe.Pointer(unsafe.SliceData(t.heads)), 4*len(t.heads))
		t.chunks = make([]chunk, 1)
	}
	if at := t.heads[key]; at != 0 {
		c := &t.chunks[at]
		for i, r := range c.refs {
			if r == noRef {
				c.sigs[i], c.refs[i] = sig, ref
				return
			}
		}
	}
	c := chunk{next: t.heads[key]}
	c.sigs[0], c.refs = sig, [5]uint32{ref, noRef, noRef, noRef, noRef}
	if n := len(t.free); n > 0 {
		t.heads[key], t.free = t.free[n-1], t.free[:n-1]
		t.chunks[t.heads[key]] = c
		return
	}
	if len(t.chunks) == cap(t.chunks) {
		grown := make([]chunk, len(t.chunks), max(1024, len(t.chunks)+len(t.chunks)/2))
		huge(unsafe.Pointer(unsafe.SliceData(grown)), cap(grown)*int(unsafe.Sizeof(c)))
		copy(grown, t.chunks)
		t.chunks = grown
	}
	t.heads[key] = uint32(len(t.chunks))
	t.chunks = append(t.chunks, c)
}

// remove takes an entry out: the last entry of the bucket's first chunk moves
// to its place.
func (t *table) remove(key uint32, ref uint32) {
	head := t.heads[key]
	for at := head; at != 0; at = t.chunks[at].next {
		c := &t.chunks[at]
		for i := range c.refs {
			if c.refs[i] != ref {
				continue
			}
			h := &t.chunks[head]
			last := len(h.refs) - 1
			for h.refs[last] == noRef {
				last--
			}
			c.sigs[i], c.refs[i] = h.sigs[last], h.refs[last]
			h.refs[last] = noRef
			if last == 0 {
				t.heads[key] = h.next
				t.free = append(t.free, head)
			}
			return
		}
	}
}

// keyOf returns the key of a descriptor in table t: one bit of each of twenty
// orbits.
func keyOf(t int, d *Descriptor) (key uint32) {
	for j := range keyBits {
		b := 2 * (t*keyBits + j)
		b += j & 1
		key |= uint32(d[b>>6]>>(b&63)&1) << j
	}
	return key
}

// probes appends the keys to look into, likeliest first: the key itself, then
// with those bits turned that were decided by a small margin.
func probes(t int, key uint32, m *margins, dst []uint32) []uint32 {
	var class [3][keyBits]uint32
	var n [3]int
	for j := range keyBits {
		b := 2 * (t*keyBits + j)
		b += j & 1
		if c := m.class(b); c < 3 {
			class[c][n[c]] = 1 << j
			n[c]++
		}
	}
	dst = append(dst, key)
	add := func(flip uint32) bool {
		dst = append(dst, key^flip)
		return len(dst) < probesEach
	}
	one := func(c int) bool {
		for _, a := range class[c][:n[c]] {
			if !add(a) {
				return false
			}
		}
		return true
	}
	two := func(c, d int) bool {
		for i, a := range class[c][:n[c]] {
			from := 0
			if c == d {
				from = i + 1
			}
			for _, b := range class[d][from:n[d]] {
				if !add(a | b) {
					return false
				}
			}
		}
		return true
	}
	_ = one(0) && one(1) && two(0, 0) && two(0, 1) && one(2) && two(1, 1) && two(0, 2) && two(1, 2)
	return dst
}

type asset struct {
	id     uint64
	fp     *Fingerprint
	weight []float32 // of each keypoint: 1 over how often the picture repeats it
}

// Index finds known pictures by their local fingerprints. The zero value is
// empty and ready. All methods may be called concurrently.
type Index struct {
	mu     sync.RWMutex
	assets []asset
	free   []uint32
	slots  map[uint64]uint32
	tables [tableCount]table

	scratch sync.Pool // of *searcher
}

// Len returns the number of pictures.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.slots)
}

// Add makes f findable as id, in place of what was id before. It keeps the
// shared form of f only.
func (x *Index) Add(id uint64, f *Fingerprint) {
	f = f.Asset()
	weight := f.weights()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	if x.slots == nil {
		x.slots = map[uint64]uint32{}
	}
	var slot uint32
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
	} else {
		slot = uint32(len(x.assets))
		x.assets = append(x.assets, asset{})
	}
	x.assets[slot] = asset{id: id, fp: f, weight: weight}
	x.slots[id] = slot
	for ki := range f.descs {
		d := &f.descs[ki]
		for t := range x.tables {
			x.tables[t].add(keyOf(t, d), d[3], slot<<kiBits|uint32(ki))
		}
	}
}

// Remove makes id unfindable. An id that is not there is no error.
func (x *Index) Remove(id uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

func (x *Index) remove(id uint64) {
	slot, ok := x.slots[id]
	if !ok {
		return
	}
	f := x.assets[slot].fp
	for ki := range f.descs {
		d := &f.descs[ki]
		for t := range x.tables {
			x.tables[t].remove(keyOf(t, d), slot<<kiBits|uint32(ki))
		}
	}
	x.assets[slot] = asset{}
	delete(x.slots, id)
	x.free = append(x.free, slot)
}

// hit is a known and a queried keypoint that look alike.
type hit struct {
	group  uint32 // slot<<2 | negative<<1 | mirrored
	qi, ki uint16
	dist   uint8
	dAngle uint8 // 64ths of a turn
	dLevel int8
}

type searcher struct {
	hits, sorted []hit
	count        []uint32 // hits by group, then their ends
	groups       []group
	keys         []uint32
	chunks       [probesEach]uint32 // those that come next of the buckets that are looked through
	near         []uint32           // references of entries whose signature is near
	dists        []uint16           // of these
	q            [2]view
}

// group is the hits of one known picture in one form: sorted[lo:hi].
type group struct {
	lo, hi int
	votes  float32
}

// Search returns the known pictures of which f is a copy, best first.
func (x *Index) Search(f *Fingerprint) []Match {
	if len(f.points) == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.slots) == 0 {
		return nil
	}
	s, _ := x.scratch.Get().(*searcher)
	if s == nil {
		s = &searcher{}
	}
	defer x.scratch.Put(s)
	s.hits = s.hits[:0]
	for form := range s.q {
		s.q[form].set(f, form == 1)
		x.gather(s, form)
	}
	s.group(x.assets)
	best := map[uint32]Match{}
	for _, g := range s.groups[:min(len(s.groups), candidates)] {
		h := s.sorted[g.lo:g.hi]
		slot := h[0].group >> 2
		a := x.assets[slot]
		m, ok := verify(&a, &s.q[h[0].group&1], h, h[0].group&2 != 0)
		if !ok {
			continue
		}
		m.ID = a.id
		if b, have := best[slot]; !have || better(m, b) {
			best[slot] = m
		}
	}
	var out []Match
	for _, m := range best {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Match) int {
		if better(a, b) {
			return -1
		}
		if better(b, a) {
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return out
}

func better(a, b Match) bool {
	if a.Weak != b.Weak {
		return b.Weak
	}
	return a.Score-a.need > b.Score-b.need
}

// gather looks up every keypoint of one form of the query. What it reads lies
// anywhere in memory, and waiting for that is most of the work. So it takes the
// buckets of a keypoint side by side, a chunk of each in turn, and fetches
// descriptors after all of them: the processor then waits for many lines at
// once.
func (x *Index) gather(s *searcher, form int) {
	q := &s.q[form]
	for qi := range q.descs[:min(len(q.descs), queryPoints)] {
		d := &q.descs[qi]
		s.near = s.near[:0]
		for t := range x.tables {
			s.keys = probes(t, keyOf(t, d), &q.margins[qi], s.keys[:0])
			x.tables[t].near(s, d[3])
		}
		s.dists = s.dists[:0]
		for _, ref := range s.near {
			s.dists = append(s.dists, uint16(x.assets[ref>>kiBits].fp.descs[ref&(1<<kiBits-1)].Distance(d))) //nolint:gosec // at most 256
		}
		qp := &q.points[qi]
		first := len(s.hits)
		limit := hitLimit
		for i, ref := range s.near {
			dist := int(s.dists[i])
			if dist > limit {
				continue
			}
			slot, ki := ref>>kiBits, ref&(1<<kiBits-1)
			kp := &x.assets[slot].fp.points[ki]
			h := hit{
				group: slot<<2 | uint32(form), qi: uint16(qi), ki: uint16(ki), dist: uint8(dist),
				dAngle: (qp.angle - kp.angle) & 63, dLevel: int8(qp.level) - int8(kp.level),
			}
			if qp.dark != kp.dark {
				h.group |= 2
			}
			limit = s.keep(first, h)
		}
	}
}

// near appends to s.near the entries under s.keys whose signature is near to
// sig.
func (t *table) near(s *searcher, sig uint64) {
	if t.heads == nil {
		return
	}
	n := 0
	for _, key := range s.keys[:min(len(s.keys), probesEach)] {
		s.chunks[n] = t.heads[key]
		n += one(s.chunks[n])
	}
	for round := 0; n > 0 && round < chunksEach; round++ {
		now := s.chunks
		live := now[:n]
		n = 0
		for _, at := range live {
			s.chunks[n] = t.chunks[at].next
			n += one(s.chunks[n])
		}
		for _, at := range live {
			c := &t.chunks[at]
			for i, g := range c.sigs {
				if bits.OnesCount64(g^sig) <= sigLimit && c.refs[i] != noRef {
					s.near = append(s.near, c.refs[i])
				}
			}
		}
	}
}

// one is 1 for all but 0, without a branch to guess.
func one(v uint32) int { return int((uint64(v) + 1<<32 - 1) >> 32) }

// keep adds h to the hits of one queried keypoint, which start at first, in
// order of distance, and drops the farthest past hitsEach. It returns the
// distance above which further ones need not be offered.
func (s *searcher) keep(first int, h hit) int {
	hs := s.hits[first:]
	at := len(hs)
	for i := range hs {
		if hs[i].group == h.group && hs[i].ki == h.ki {
			return s.limit(first) // found through another table
		}
		if at == len(hs) && hs[i].dist > h.dist {
			at = i
		}
	}
	s.hits = slices.Insert(s.hits, first+at, h)
	if len(s.hits)-first > hitsEach {
		s.hits = s.hits[:first+hitsEach]
	}
	return s.limit(first)
}

func (s *searcher) limit(first int) int {
	if len(s.hits)-first < hitsEach {
		return hitLimit
	}
	return int(s.hits[len(s.hits)-1].dist)
}

// group sorts the hits by group, of which each asset has four, and ranks the
// groups by the votes of their hits.
func (s *searcher) group(assets []asset) {
	n := 4 * len(assets)
	s.count = append(s.count[:0], make([]uint32, n+1)...)
	for i := range s.hits {
		s.count[s.hits[i].group+1]++
	}
	for i := 1; i < len(s.count); i++ {
		s.count[i] += s.count[i-1]
	}
	s.sorted = append(s.sorted[:0], s.hits...)
	for i := range s.hits {
		c := &s.count[s.hits[i].group]
		s.sorted[*c] = s.hits[i]
		*c++
	}
	s.groups = s.groups[:0]
	for lo := 0; lo < len(s.sorted); {
		hi := lo + 1
		for hi < len(s.sorted) && s.sorted[hi].group == s.sorted[lo].group {
			hi++
		}
		if hi-lo >= minVotes {
			if n, v := votes(s.sorted[lo:hi], assets[s.sorted[lo].group>>2].weight); n >= minVotes {
				s.groups = append(s.groups, group{lo, hi, v})
			}
		}
		lo = hi
	}
	slices.SortStableFunc(s.groups, func(a, b group) int { return cmp.Compare(b.votes, a.votes) })
}

// votes is the greatest number of hits that agree on rotation and scale, a
// queried keypoint counted once, and the greatest weight of those that do. What
// a picture repeats (a chessboard, a page of text) agrees with much by chance,
// so keypoints weigh there as they do in the score.
func votes(hs []hit, weight []float32) (count int, weighed float32) {
	var n, last [16][8]uint16
	var sum [16][8]float32
	best := uint16(0)
	for _, h := range hs {
		// Each hit votes for the two nearest bins either way.
		a := int(h.dAngle) + 62
		l := int(h.dLevel) + 7
		w := weight[h.ki] * float32(chanceDist-int(h.dist)) / nearSpan
		for i := range 2 {
			for j := range 2 {
				x, y := (a/4+i)&15, min(7, (l+j)/2)
				if last[x][y] == h.qi+1 {
					continue
				}
				last[x][y] = h.qi + 1
				n[x][y]++
				sum[x][y] += w
				best, weighed = max(best, n[x][y]), max(weighed, sum[x][y])
			}
		}
	}
	return int(best), weighed
}
