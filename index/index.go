package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"sync"
)

// Hash is what an Index holds: 256 bits. A pdq.Hash converts to it, and so
// does any other 256-bit descriptor whose Hamming distance means something.
type Hash = [32]byte

// MaxDistance is the greatest distance that an entry or a search may ask for.
// Unrelated hashes are 128 apart on average, so that more would be no match.
const MaxDistance = 127

// ErrDistance is wrapped by the error of an insertion whose greatest distance
// is not from 0 to MaxDistance.
var ErrDistance = errors.New("index: distance out of range")

// ErrKey is wrapped by the error of an insertion whose key the index cannot
// hold: not 32 bytes in an Index, longer than MaxKey in an Exact.
var ErrKey = errors.New("index: key of the wrong length")

// Match is one entry that a search found.
type Match struct {
	ID       uint64 // the id that the entry was inserted under
	Distance uint16 // differing bits, from 0 to MaxDistance; 0 in an Exact
}

// Entry is one entry of an Index.
type Entry struct {
	ID          uint64
	Hash        Hash
	MaxDistance int // 0 to MaxDistance
}

// Options configure an index. The zero value is ready to use.
type Options struct {
	// Entries is about how many entries there will be, 0 if that is not known.
	// A good guess makes filling an Index faster; nothing else depends on it.
	Entries int
	// MaxEntries bounds what Load and LoadExact accept; 0 means no bound but
	// memory.
	MaxEntries int
}

// Keys is what Index and Exact have in common: bytes in, ids out.
//
// InsertKey adds key under id, or replaces the greatest distance if that pair
// is there already; its error wraps ErrKey or ErrDistance. SearchKey appends to
// dst every entry that matches key within maxDistance, in no particular order;
// a key that the index cannot hold matches nothing. Delete removes all entries
// of id and returns their number. Len counts entries. Bytes is the memory held.
// Snapshot writes a file that Load or LoadExact reads. All may be called
// concurrently.
type Keys interface {
	InsertKey(id uint64, key []byte, maxDistance int) error
	SearchKey(dst []Match, key []byte, maxDistance int) []Match
	Delete(id uint64) int
	Len() int
	Bytes() int64
	Snapshot(w io.Writer) error
}

var (
	_ Keys = (*Index)(nil)
	_ Keys = (*Exact)(nil)
)

// Index holds 256-bit hashes and finds those near to a given one. Use New to
// make one. All methods may be called concurrently.
type Index struct {
	// writing is held by whoever writes, for as long as it must be alone.
	writing sync.Mutex

	mu sync.RWMutex // guards what follows; to change it needs writing too

	entries                    // a slot is a hash, held once
	hash     region[[4]uint64] // by slot
	hashes   refmap            // slot of each hash
	tables   tables            // of the slots before indexed; others are looked at one by one
	indexed  int
	building bool // the maps and tables are not there yet
}

// smallIndex is up to how many slots are searched one by one: sooner than the
// tables answer, and without their memory.
const smallIndex = 1 << 14

// New returns an empty index.
func New(o Options) *Index {
	x := &Index{}
	m := newMappings(x)
	x.entries.init(m, o)
	x.hash.maps = m
	x.hashes.init(m, func(slot uint32) uint64 { return x.hashHash(&x.hash.s[slot]) })
	x.tables.init(m)
	x.reserve(o.Entries)
	return x
}

// reserve makes room for n entries where it costs nothing until it is used.
func (x *Index) reserve(n int) {
	x.entries.reserve(n)
	x.hash.reserve(n)
	x.hashes.reserve(n)
}

func words(h *Hash) [4]uint64 {
	return [4]uint64{
		binary.LittleEndian.Uint64(h[0:]), binary.LittleEndian.Uint64(h[8:]),
		binary.LittleEndian.Uint64(h[16:]), binary.LittleEndian.Uint64(h[24:]),
	}
}

func distance(a, b *[4]uint64) int {
	return bits.OnesCount64(a[0]^b[0]) + bits.OnesCount64(a[1]^b[1]) +
		bits.OnesCount64(a[2]^b[2]) + bits.OnesCount64(a[3]^b[3])
}

func (x *Index) hashHash(h *[4]uint64) uint64 {
	a, b := mix(h[0]^x.seed[0], h[1]^x.seed[1]), mix(h[2]^x.seed[2], h[3]^x.seed[3])
	return mix(a^x.seed[1], b^x.seed[2])
}

func checkDistance(d int) error {
	if d < 0 || d > MaxDistance {
		return fmt.Errorf("%w: %d bits; give 0 to %d", ErrDistance, d, MaxDistance)
	}
	return nil
}

// Insert adds the entry (id, h), which matches up to maxDistance bits away,
// or replaces maxDistance if the pair is there already. It returns an error
// that wraps ErrDistance if maxDistance is not from 0 to MaxDistance.
func (x *Index) Insert(id uint64, h Hash, maxDistance int) error {
	if err := checkDistance(maxDistance); err != nil {
		return err
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	x.ahead()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insert(id, words(&h), maxDistance)
	return nil
}

// ahead has the system make memory that insertions will soon need, while
// searches go on. The caller holds writing.
func (x *Index) ahead() {
	x.id.ahead()
	x.meta.ahead()
	x.hash.ahead()
	x.tables.near.ahead()
	x.tables.lo.ahead()
	x.tables.hi.ahead()
	x.tables.top.ahead()
	x.tables.nodes.ahead()
}

// InsertAll inserts the entries in order, as Insert would, and stops with
// Insert's error at one that is refused, those before it inserted. It is the
// fast way to fill an empty index, on up to four processors. Until it
// is through, other writes may wait, searches do not.
func (x *Index) InsertAll(entries iter.Seq[Entry]) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.n == 0 && x.freeSlot == 0 && x.indexed == 0 && len(x.hash.s) == 0 {
		return x.fillEmpty(entries)
	}
	n := 0
	for e := range entries {
		if err := checkDistance(e.MaxDistance); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		x.insert(e.ID, words(&e.Hash), e.MaxDistance)
		if n++; n%writeChunk == 0 {
			x.mu.Unlock()
			x.writing.Unlock()
			x.writing.Lock()
			x.mu.Lock()
		}
	}
	return nil
}

// writeChunk is how many entries a long write takes before it lets others in.
const writeChunk = 32

// insert is Insert. The caller holds the locks.
func (x *Index) insert(id uint64, h [4]uint64, maxDistance int) {
	hh := x.hashHash(&h)
	slot, ok := x.hashes.find(hh, func(s uint32) bool { return x.hash.s[s] == h })
	if ok {
		x.set(slot, id, maxDistance)
		return
	}
	slot = x.newSlot()
	x.hash.grow(int(slot) + 1)
	x.hash.s[slot] = h
	x.hashes.put(hh, slot)
	x.setOwn(slot, id, maxDistance)
	if int(slot) < x.indexed {
		x.tables.add(&h, slot)
	}
	x.catchUp()
}

// drop takes an entry out.
func (x *Index) drop(ref uint32) {
	slot, empty := x.remove(ref)
	if !empty {
		return
	}
	h := &x.hash.s[slot]
	x.hashes.remove(x.hashHash(h), slot)
	if int(slot) < x.indexed {
		x.tables.remove(h, slot)
	}
	x.dropSlot(slot)
}

// catchUp puts up to two of the slots that are not in the tables into them,
// once there are many.
func (x *Index) catchUp() {
	if x.building || len(x.hash.s) <= smallIndex {
		return
	}
	for range 2 {
		if x.indexed == len(x.hash.s) {
			return
		}
		if s := uint32(x.indexed); x.used(s) {
			x.tables.add(&x.hash.s[s], s)
		}
		x.indexed++
	}
}

// deleteAll calls some, which deletes up to writeChunk entries, until there
// are none, and returns how many there were.
func deleteAll(some func() int) (n int) {
	for {
		k := some()
		if n += k; k < writeChunk {
			return n
		}
	}
}

// Delete removes all entries of id and returns their number. When it has
// returned, no search finds them; while it runs, a search may find some.
func (x *Index) Delete(id uint64) int {
	return deleteAll(func() (n int) {
		x.writing.Lock()
		defer x.writing.Unlock()
		x.mu.Lock()
		defer x.mu.Unlock()
		for ; n < writeChunk; n++ {
			ref, ok := x.find(id)
			if !ok {
				break
			}
			x.drop(ref)
		}
		return n
	})
}

// DeleteEntry removes the entry (id, h) and says whether it was there.
func (x *Index) DeleteEntry(id uint64, h Hash) bool {
	w := words(&h)
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	slot, ok := x.hashes.find(x.hashHash(&w), func(s uint32) bool { return x.hash.s[s] == w })
	if !ok {
		return false
	}
	ref, ok := x.get(slot, id)
	if ok {
		x.drop(ref)
	}
	return ok
}

// SearchBatch searches for each of hs, as Search would, and appends all
// matches to dst and, for each hash, the length of dst after its matches to
// ends: with both empty at first, those of hs[i] are dst[ends[i-1]:ends[i]].
// Each hash is searched in a state of the index of its own.
func (x *Index) SearchBatch(dst []Match, ends []int, hs []Hash, maxDistance int) ([]Match, []int) {
	for i := range hs {
		dst = x.Search(dst, &hs[i], maxDistance)
		ends = append(ends, len(dst))
	}
	return dst, ends
}

// scanChunk is how many slots a linear scan looks at before it lets writers in.
const scanChunk = 1 << 15

// Scan answers as Search does, by comparing h with every entry. It is the
// oracle of tests and benchmarks. Writes may happen while it runs: an entry
// that is there all the time is found once.
func (x *Index) Scan(dst []Match, h *Hash, maxDistance int) []Match {
	q := words(h)
	for from, more := 0, true; more; from += scanChunk {
		x.mu.RLock()
		to := min(from+scanChunk, len(x.hash.s))
		if from < to {
			dst = x.scan(dst, &q, min(maxDistance, MaxDistance), from, to)
		}
		more = to < len(x.hash.s)
		x.mu.RUnlock()
	}
	return dst
}

// scan compares q with the slots from from to to.
func (x *Index) scan(dst []Match, q *[4]uint64, r, from, to int) []Match {
	part := x.hash.s[from:to]
	for i := range part {
		if d := distance(q, &part[i]); d <= r {
			dst = x.emit(dst, uint32(from+i), d, r)
		}
	}
	return dst
}

// InsertKey is Insert for a key of 32 bytes. Its error wraps ErrKey for any
// other length.
func (x *Index) InsertKey(id uint64, key []byte, maxDistance int) error {
	if len(key) != len(Hash{}) {
		return fmt.Errorf("%w: %d bytes; a hash has %d", ErrKey, len(key), len(Hash{}))
	}
	return x.Insert(id, Hash(key), maxDistance)
}

// SearchKey is Search for a key of 32 bytes; any other matches nothing.
func (x *Index) SearchKey(dst []Match, key []byte, maxDistance int) []Match {
	if len(key) != len(Hash{}) {
		return dst
	}
	return x.Search(dst, (*Hash)(key), maxDistance)
}

// Len returns the number of entries.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.n
}

// Bytes returns the memory that the index holds, in bytes: hashes, ids,
// tables and what is reserved on the heap.
func (x *Index) Bytes() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries.bytes() + x.hash.bytes() + x.hashes.bytes() + x.tables.bytes()
}
