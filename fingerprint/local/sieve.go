package local

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// Bounds of a Sieve.
const (
	sieveBits   = 17  // of a key
	sievePoints = 320 // keypoints of a picture, the most important first
	sieveLimit  = 7   // of the 32 bits kept beside an entry by which it may be off
	sieveSlots  = 22  // bits of a slot
)

// Sieve is an Index the other way round: it holds many pictures in which a
// known one may turn up later, in about 3 KB each, and names those that are
// worth looking at when it does: the pictures with keypoints like the known
// one's that agree on rotation and scale. Whether one of them is a copy says
// Index.Search of its fingerprint. The zero value is empty and ready. All
// methods may be called concurrently.
type Sieve struct {
	mu      sync.RWMutex
	buckets [][]sieveEntry // by key
	ids     []uint64       // by slot
	slots   map[uint64][]uint32
	dead    int // slots that were removed and are still in buckets

	scratch sync.Pool // of *sieveScratch
}

// sieveScratch is what Find works in.
type sieveScratch struct {
	forms  [4][]sieveHit // mirrored | negative<<1
	sorted []sieveHit
	ends   []uint32
}

// sieveRoom is for how many hits of one form memory is kept from one search to
// the next.
const sieveRoom = 4 << 20

// sieveEntry is a keypoint: 32 bits of its descriptor, 6 of its angle, 3 of its
// level, 1 for dark, and the picture's slot.
type sieveEntry uint64

func newSieveEntry(p point, d *Descriptor, slot uint32) sieveEntry {
	e := d[3]<<32 | uint64(p.angle)<<26 | uint64(p.level)<<23 | uint64(slot)
	if p.dark {
		e |= 1 << sieveSlots
	}
	return sieveEntry(e)
}

func (e sieveEntry) slot() uint32 { return uint32(e & (1<<sieveSlots - 1)) }

// Add puts a picture in under id, beside what is under id already: a video has
// several. Keypoints beyond the first 320 are left out, and pictures beyond the
// first four million.
func (s *Sieve) Add(id uint64, f *Fingerprint) {
	if len(f.descs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots == nil {
		s.buckets, s.slots = make([][]sieveEntry, 1<<sieveBits), map[uint64][]uint32{}
	}
	if len(s.ids) == 1<<sieveSlots {
		if s.sweep(); len(s.ids) == 1<<sieveSlots {
			return // four million pictures
		}
	}
	slot := uint32(len(s.ids)) //nolint:gosec // memory ends long before
	s.ids = append(s.ids, id)
	s.slots[id] = append(s.slots[id], slot)
	for i := range f.descs[:min(len(f.descs), sievePoints)] {
		d := &f.descs[i]
		b := &s.buckets[sieveKey(d)]
		*b = append(*b, newSieveEntry(f.points[i], d, slot))
	}
}

// Remove takes out all pictures under id. An id that is not there is no error.
func (s *Sieve) Remove(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range s.slots[id] {
		s.ids[slot] = gone
		s.dead++
	}
	delete(s.slots, id)
	if s.dead > 1000 && 2*s.dead > len(s.ids) {
		s.sweep()
	}
}

const gone = 1<<64 - 1

// sweep renumbers the slots and drops the entries of those that are gone.
func (s *Sieve) sweep() {
	to := make([]uint32, len(s.ids))
	n := uint32(0)
	for slot, id := range s.ids {
		if id == gone {
			to[slot] = 1<<32 - 1
			continue
		}
		to[slot] = n
		s.ids[n] = id
		n++
	}
	s.ids, s.dead = s.ids[:n:n], 0
	for k, b := range s.buckets {
		out := b[:0]
		for _, e := range b {
			if t := to[e.slot()]; t != 1<<32-1 {
				out = append(out, e>>sieveSlots<<sieveSlots|sieveEntry(t))
			}
		}
		s.buckets[k] = slices.Clip(out)
	}
	for _, slots := range s.slots {
		for i := range slots {
			slots[i] = to[slots[i]]
		}
	}
}

// sieveKey takes one bit of each of the first orbits.
func sieveKey(d *Descriptor) uint32 { return keyOf(0, d) & (1<<sieveBits - 1) }

// sieveHit is a keypoint of a kept picture that looks like one of the known
// picture's.
type sieveHit struct {
	slot   uint32
	point  uint16 // of the known picture
	dAngle uint8
	dLevel int8
	weight float32
}

// Find returns the ids of pictures that f may lie in, likeliest first, each
// once: those that have at least three of its keypoints, straight or mirrored,
// positive or negative, that agree on rotation and scale. A keypoint is looked
// for under all keys that are off by two bits or less.
func (s *Sieve) Find(f *Fingerprint) []uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.slots) == 0 || len(f.descs) == 0 {
		return nil
	}
	weights := f.weights()
	best := map[uint64]float32{}
	t, _ := s.scratch.Get().(*sieveScratch)
	if t == nil {
		t = new(sieveScratch)
	}
	for form := range t.forms {
		t.forms[form] = t.forms[form][:0]
	}
	for form := range t.forms {
		if form < 2 {
			s.gather(f, weights, form == 1, &t.forms[form], &t.forms[form+2])
		}
		hs := t.bySlot(t.forms[form], len(s.ids))
		for lo := 0; lo < len(hs); {
			hi := lo + 1
			for hi < len(hs) && hs[hi].slot == hs[lo].slot {
				hi++
			}
			if id := s.ids[hs[lo].slot]; id != gone && hi-lo >= sieveVotes {
				if n, w := sieveVote(hs[lo:hi]); n >= sieveVotes {
					best[id] = max(best[id], w)
				}
			}
			lo = hi
		}
	}
	if cap(t.sorted) <= sieveRoom {
		s.scratch.Put(t)
	}
	out := make([]uint64, 0, len(best))
	for id := range best {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(best[b], best[a]), cmp.Compare(b, a))
	})
	return out
}

// bySlot sorts hits by slot, of which there are n, and leaves those of one slot
// in their order.
func (t *sieveScratch) bySlot(hs []sieveHit, n int) []sieveHit {
	if cap(t.ends) <= n {
		t.ends = make([]uint32, n+1)
	}
	if cap(t.sorted) < len(hs) {
		t.sorted = make([]sieveHit, len(hs)+len(hs)/4)
	}
	ends, out := t.ends[:n+1], t.sorted[:len(hs)]
	clear(ends)
	for i := range hs {
		ends[hs[i].slot+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	for _, h := range hs {
		out[ends[h.slot]] = h
		ends[h.slot]++
	}
	return out
}

const sieveVotes = 3 // keypoints that agree, at least

// gather looks up all keypoints of f in one form.
func (s *Sieve) gather(f *Fingerprint, weights []float32, mirrored bool, same, negative *[]sieveHit) {
	for i := range f.descs {
		d, p := f.descs[i], f.points[i]
		if mirrored {
			d, p.angle = d.Mirror(), (32-p.angle)&63
		}
		sig := uint32(d[3]) //nolint:gosec // the low half
		look := func(key uint32) {
			for _, e := range s.buckets[key] {
				n := bits.OnesCount32(uint32(e>>32) ^ sig)
				if n > sieveLimit {
					continue
				}
				h := sieveHit{
					slot: e.slot(), point: uint16(i), //nolint:gosec // at most 430
					dAngle: (uint8(e>>26) - p.angle) & 63, dLevel: int8(e>>23&7) - int8(p.level),
					weight: weights[i] * float32(sieveLimit+1-n),
				}
				if dark := e>>sieveSlots&1 == 1; dark == p.dark {
					*same = append(*same, h)
				} else {
					*negative = append(*negative, h)
				}
			}
		}
		key := sieveKey(&d)
		look(key)
		for a := range sieveBits {
			look(key ^ 1<<a)
			for b := range a {
				look(key ^ 1<<a ^ 1<<b)
			}
		}
	}
}

// sieveVote is the greatest number of hits of one picture that agree on
// rotation and scale, a known keypoint counted once, and the greatest weight.
func sieveVote(hs []sieveHit) (count int, weighed float32) {
	var n, last [16][8]uint16
	var sum [16][8]float32
	best := uint16(0)
	for _, h := range hs {
		// Each hit votes for the two nearest bins either way.
		a, l := int(h.dAngle)+62, int(h.dLevel)+7
		for i := range 2 {
			for j := range 2 {
				x, y := (a/4+i)&15, min(7, (l+j)/2)
				if last[x][y] == h.point+1 {
					continue
				}
				last[x][y] = h.point + 1
				n[x][y]++
				sum[x][y] += h.weight
				best, weighed = max(best, n[x][y]), max(weighed, sum[x][y])
			}
		}
	}
	return int(best), weighed
}
