package edge

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// hamming finds 256-bit hashes near to a given one. All methods may be called
// concurrently.
type hamming interface {
	Insert(id uint64, h [32]byte, maxDistance int) error
	// Fill inserts many into an empty index.
	Fill(seq func(yield func(id uint64, h [32]byte, maxDistance int) bool))
	Delete(id uint64) int
	// Search appends every entry within its own distance and max.
	Search(dst []hit, h *[32]byte, maxDistance int) []hit
}

type hit struct {
	ID       uint64
	Distance uint16
}

// scan is the plain linear search.
type scan struct {
	mu  sync.RWMutex
	h   [][4]uint64
	id  []uint64
	max []uint16
	at  map[uint64]int
}

func newHamming() hamming { return &scan{at: map[uint64]int{}} }

func words(h *[32]byte) (w [4]uint64) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	return w
}

func (s *scan) Insert(id uint64, h [32]byte, maxDistance int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[id] = len(s.id)
	s.h, s.id, s.max = append(s.h, words(&h)), append(s.id, id), append(s.max, uint16(maxDistance)) //nolint:gosec // at most 256
	return nil
}

func (s *scan) Fill(seq func(yield func(uint64, [32]byte, int) bool)) {
	seq(func(id uint64, h [32]byte, d int) bool { _ = s.Insert(id, h, d); return true }) // never fails
}

func (s *scan) Delete(id uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.at[id]
	if !ok {
		return 0
	}
	last := len(s.id) - 1
	s.h[i], s.id[i], s.max[i] = s.h[last], s.id[last], s.max[last]
	s.at[s.id[i]] = i
	s.h, s.id, s.max = s.h[:last], s.id[:last], s.max[:last]
	delete(s.at, id)
	return 1
}

func (s *scan) Search(dst []hit, h *[32]byte, maxDistance int) []hit {
	w := words(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.h {
		d := 0
		for j := range w {
			d += bits.OnesCount64(w[j] ^ s.h[i][j])
		}
		if d <= min(maxDistance, int(s.max[i])) {
			dst = append(dst, hit{s.id[i], uint16(d)}) //nolint:gosec // at most 256
		}
	}
	return dst
}
