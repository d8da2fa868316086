package local

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// Match is one known picture found in a queried one.
type Match struct {
	ID        uint64
	Score     int     // keypoints that agree, counted once a place
	Inliers   int     // keypoints that agree
	Agreement float64 // of what lies between them, from -1 to 1
	Coverage  float64 // share of the common area in which keypoints agree, 0 to 1
	Mirrored  bool    // the copy is a mirror image
	Negative  bool    // the copy is a negative
	Weak      bool    // too little to block: for review

	// Transform takes the known picture's pixels (at base size) to those of the
	// queried one: x' = (t0 x + t1 y + t2)/(t6 x + t7 y + t8), y' likewise.
	Transform [9]float64
}

const (
	tableCount = 4
	keyBits    = 16
	maxProbes  = 8
	sigLimit   = 18 // of the 64 bits kept beside an entry
	hitLimit   = 64 // of all 256 bits
	candidates = 16 // pictures that are checked geometrically
)

type entry struct {
	sig  uint64 // the descriptor's last word
	slot uint32
	ki   uint32
}

type asset struct {
	id   uint64
	fp   *Fingerprint
	used bool
}

// Index finds known pictures by their local fingerprints. The zero value is
// empty and ready. All methods may be called concurrently.
type Index struct {
	mu     sync.RWMutex
	assets []asset
	free   []uint32
	slots  map[uint64]uint32
	tables [tableCount][][]entry

	scratch sync.Pool // of *searcher
}

// Len returns the number of pictures.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.slots)
}

func bucket(t int, d *Descriptor) uint32 { return uint32(d[0]>>(keyBits*t)) & (1<<keyBits - 1) }

// Add makes f findable as id, in place of what was id before. It keeps the
// shared form of f only.
func (x *Index) Add(id uint64, f *Fingerprint) {
	f = f.Asset()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	if x.slots == nil {
		x.slots = map[uint64]uint32{}
		for t := range x.tables {
			x.tables[t] = make([][]entry, 1<<keyBits)
		}
	}
	var slot uint32
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
	} else {
		slot = uint32(len(x.assets))
		x.assets = append(x.assets, asset{})
	}
	x.assets[slot] = asset{id: id, fp: f, used: true}
	x.slots[id] = slot
	for ki := range f.descs {
		d := &f.descs[ki]
		for t := range x.tables {
			b := bucket(t, d)
			x.tables[t][b] = append(x.tables[t][b], entry{sig: d[3], slot: slot, ki: uint32(ki)})
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
			b := bucket(t, d)
			es := x.tables[t][b]
			for i := range es {
				if es[i].slot == slot && es[i].ki == uint32(ki) {
					es[i] = es[len(es)-1]
					x.tables[t][b] = es[:len(es)-1]
					break
				}
			}
		}
	}
	x.assets[slot] = asset{}
	delete(x.slots, id)
	x.free = append(x.free, slot)
}

// hit is a known and a queried keypoint that look alike.
type hit struct {
	slot     uint32
	qi, ki   uint16
	dist     uint8
	form     uint8 // bit 0: mirrored, bit 1: negative
	dAngle   uint8
	dLevel   int8
	reserved uint16
}

type searcher struct {
	hits []hit
	seen map[uint64]struct{}
	q    [2]view
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
		s = &searcher{seen: map[uint64]struct{}{}}
	}
	defer x.scratch.Put(s)
	s.hits = s.hits[:0]
	for form := range s.q {
		s.q[form].set(f, form == 1)
		x.gather(s, form)
	}
	slices.SortFunc(s.hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.form, b.form), cmp.Compare(a.qi, b.qi), cmp.Compare(a.ki, b.ki))
	})
	s.hits = slices.CompactFunc(s.hits, func(a, b hit) bool {
		return a.slot == b.slot && a.form == b.form && a.qi == b.qi && a.ki == b.ki
	})
	type group struct{ lo, hi, votes int }
	var groups []group
	for lo := 0; lo < len(s.hits); {
		hi := lo + 1
		for hi < len(s.hits) && s.hits[hi].slot == s.hits[lo].slot && s.hits[hi].form == s.hits[lo].form {
			hi++
		}
		if v := votes(s.hits[lo:hi]); v >= 3 {
			groups = append(groups, group{lo, hi, v})
		}
		lo = hi
	}
	slices.SortStableFunc(groups, func(a, b group) int { return b.votes - a.votes })
	best := map[uint32]Match{}
	for _, g := range groups[:min(len(groups), candidates)] {
		h := s.hits[g.lo:g.hi]
		a := x.assets[h[0].slot]
		m, ok := verify(a.fp, &s.q[h[0].form&1], h, h[0].form&2 != 0)
		if !ok {
			continue
		}
		m.ID = a.id
		if b, have := best[h[0].slot]; !have || better(m, b) {
			best[h[0].slot] = m
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
	return a.Score > b.Score
}

// gather looks up every keypoint of one form of the query.
func (x *Index) gather(s *searcher, form int) {
	q := &s.q[form]
	for qi := range q.descs {
		d := &q.descs[qi]
		weak := q.weak[qi]
		qp := &q.points[qi]
		for t := range x.tables {
			key := bucket(t, d)
			flips := uint32(weak>>(keyBits*t)) & (1<<keyBits - 1)
			// All subsets of the weak bits, fewest first, up to the limit.
			var probes [maxProbes]uint32
			n := 1
			probes[0] = key
			for rest := flips; rest != 0 && n < maxProbes; rest &= rest - 1 {
				probes[n] = key ^ (rest & -rest)
				n++
			}
			for rest := flips; rest != 0 && n < maxProbes; rest &= rest - 1 {
				for more := rest & (rest - 1); more != 0 && n < maxProbes; more &= more - 1 {
					probes[n] = key ^ (rest & -rest) ^ (more & -more)
					n++
				}
			}
			for _, k := range probes[:n] {
				for i := range x.tables[t][k] {
					e := &x.tables[t][k][i]
					if bits.OnesCount64(e.sig^d[3]) > sigLimit {
						continue
					}
					kf := x.assets[e.slot].fp
					dist := kf.descs[e.ki].Distance(d)
					if dist > hitLimit {
						continue
					}
					kp := &kf.points[e.ki]
					h := hit{
						slot: e.slot, qi: uint16(qi), ki: uint16(e.ki), dist: uint8(dist), form: uint8(form),
						dAngle: (qp.angle - kp.angle) & 63, dLevel: int8(qp.level) - int8(kp.level),
					}
					if qp.dark != kp.dark {
						h.form |= 2
					}
					s.hits = append(s.hits, h)
				}
			}
		}
	}
}

// votes is the greatest number of hits that agree on rotation and scale.
func votes(hs []hit) int {
	if len(hs) < 3 {
		return len(hs)
	}
	var n [16][8]int
	best := 0
	for _, h := range hs {
		// Each hit votes for the two nearest bins either way.
		a := int(h.dAngle) + 62
		l := int(h.dLevel) + 7
		for i := range 2 {
			for j := range 2 {
				c := &n[(a/4+i)&15][min(7, (l+j)/2)]
				*c++
				best = max(best, *c)
			}
		}
	}
	return best
}
