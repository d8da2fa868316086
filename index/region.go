package index

import (
	"runtime"
	"sync"
	"unsafe"
)

// A region is a growing array of T, which holds no pointers. A small one lives
// on the heap and doubles. From mapFrom bytes on it is a mapping of its own,
// where the system allows: outside of the heap it costs the collector no time
// and no headroom, on huge pages a random read seldom misses the TLB, and
// growing it copies nothing, as far more addresses are reserved than used.
// New elements are zero; those never written cost no memory in a mapping.
//
// The zero region is empty. Whoever owns the index's lock owns its regions.
type region[T any] struct {
	s    []T // len is what is in use
	maps *mappings
	m    []byte // the mapping behind s, nil on the heap
	gone int    // bytes at the start of m that were given back
	near int    // the last byte of m that ahead touched
}

// aheadOf is how near to the next huge page the elements in use must be for
// ahead to have the system make it.
const aheadOf = 64 << 10

const (
	mapFrom    = 2 << 20  // bytes; up to so many are copied at once, when they move there
	mapReserve = 16 << 30 // bytes of addresses
	hugePage   = 2 << 20
)

func (r *region[T]) size() int { return int(unsafe.Sizeof(*new(T))) }

// grow makes at least n elements usable.
func (r *region[T]) grow(n int) {
	if n <= len(r.s) {
		return
	}
	if n > cap(r.s) {
		r.move(n)
	}
	r.s = r.s[:n]
}

// mapped makes n elements usable if that can be done with a mapping.
func (r *region[T]) mapped(n int) bool {
	if r.maps == nil {
		return false
	}
	if m := r.maps.add(n * r.size()); m != nil {
		r.m, r.gone, r.near = m, 0, 0
		r.s = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m))), len(m)/r.size())[:n]
	}
	return r.m != nil
}

// ahead touches the memory that the next elements will need, so that the time
// the system takes to make a huge page, a tenth of a millisecond and far more
// when it has to find one first, is spent before the index is locked.
func (r *region[T]) ahead() {
	if r.m == nil {
		return
	}
	at := len(r.s)*r.size() + aheadOf
	// Pages begin at multiples of their size, which the mapping need not.
	base := int(uintptr(unsafe.Pointer(unsafe.SliceData(r.m))) & (hugePage - 1))
	if page := (base+at)&^(hugePage-1) - base; page > r.near && page > at-aheadOf && page < len(r.m) {
		r.m[page] = 0 // nobody has written there yet
		r.near = page
	}
}

// reserve makes room for n elements at once, if it is empty and the room costs
// nothing until it is used.
func (r *region[T]) reserve(n int) {
	if len(r.s) == 0 && n < 1<<31 && n*r.size() >= mapFrom && r.mapped(n) {
		r.s = r.s[:0]
	}
}

// move puts the elements into a larger place.
func (r *region[T]) move(n int) {
	old, oldMap := r.s, r.m
	r.m = nil
	if n*r.size() < mapFrom || !r.mapped(n) {
		r.m = nil
		r.s = make([]T, len(old), max(n, 2*cap(old)))
	}
	copy(r.s, old)
	if oldMap != nil {
		r.maps.drop(oldMap)
	}
}

// discard gives back the memory of the first n elements, as far as that can be
// done; they must not be used again.
func (r *region[T]) discard(n int) {
	if to := n * r.size() &^ (hugePage - 1); r.m != nil && to > r.gone {
		memDiscard(r.m[r.gone:to])
		r.gone = to
	}
}

// release gives back all memory.
func (r *region[T]) release() {
	if r.m != nil {
		r.maps.drop(r.m)
	}
	*r = region[T]{maps: r.maps}
}

// bytes returns the memory in use, or room on the heap.
func (r *region[T]) bytes() int64 {
	if r.m != nil {
		return int64(len(r.s)*r.size() - r.gone)
	}
	return int64(cap(r.s) * r.size())
}

// mappings are those of one index, returned to the system when the index is
// garbage.
type mappings struct {
	mu  sync.Mutex
	all map[*byte][]byte
}

// newMappings returns the mappings that live as long as x.
func newMappings[T any](x *T) *mappings {
	m := &mappings{all: map[*byte][]byte{}}
	runtime.AddCleanup(x, func(m *mappings) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, b := range m.all {
			memUnmap(b)
		}
	}, m)
	return m
}

// add reserves addresses for at least n bytes, or returns nil.
func (m *mappings) add(n int) []byte {
	for size := max(mapReserve, 2*n); size >= n; size /= 2 {
		if b := memMap(size); b != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.all[unsafe.SliceData(b)] = b
			return b
		}
	}
	return nil
}

func (m *mappings) drop(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, unsafe.SliceData(b))
	memUnmap(b)
}
