package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	// MaxEntries bounds what Load accepts; 0 means no bound but memory.
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
	mu   sync.RWMutex
	hash [][4]uint64         // by slot
	id   []uint64            // by slot
	max  []uint8             // by slot
	ids  map[uint64][]uint32 // slots of an id
}

// New returns an empty index.
func New(Options) *Index { return &Index{ids: map[uint64][]uint32{}} }

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

// Insert adds the entry (id, h), which matches up to maxDistance bits away,
// or replaces maxDistance if the pair is there already. It returns an error
// that wraps ErrDistance if maxDistance is not from 0 to MaxDistance.
func (x *Index) Insert(id uint64, h Hash, maxDistance int) error {
	if maxDistance < 0 || maxDistance > MaxDistance {
		return fmt.Errorf("%w: %d bits; give 0 to %d", ErrDistance, maxDistance, MaxDistance)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insert(id, words(&h), maxDistance)
	return nil
}

func (x *Index) insert(id uint64, h [4]uint64, maxDistance int) {
	for _, s := range x.ids[id] {
		if x.hash[s] == h {
			x.max[s] = uint8(maxDistance)
			return
		}
	}
	x.ids[id] = append(x.ids[id], uint32(len(x.hash)))
	x.hash = append(x.hash, h)
	x.id = append(x.id, id)
	x.max = append(x.max, uint8(maxDistance))
}

// InsertAll inserts the entries in order, as Insert would, but much faster
// into an empty index. It checks all of them first and inserts none if one
// is refused.
func (x *Index) InsertAll(entries []Entry) error {
	for i := range entries {
		if d := entries[i].MaxDistance; d < 0 || d > MaxDistance {
			return fmt.Errorf("%w: entry %d has %d bits; give 0 to %d", ErrDistance, i, d, MaxDistance)
		}
	}
	for i := range entries {
		if err := x.Insert(entries[i].ID, entries[i].Hash, entries[i].MaxDistance); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes all entries of id and returns their number. When it has
// returned, no search finds them; while it runs, a search may find some.
func (x *Index) Delete(id uint64) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for len(x.ids[id]) > 0 {
		x.remove(x.ids[id][0])
		n++
	}
	return n
}

// DeleteEntry removes the entry (id, h) and says whether it was there.
func (x *Index) DeleteEntry(id uint64, h Hash) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := words(&h)
	for _, s := range x.ids[id] {
		if x.hash[s] == w {
			x.remove(s)
			return true
		}
	}
	return false
}

func (x *Index) remove(s uint32) {
	drop := func(id uint64, s uint32) {
		l := x.ids[id]
		for i := range l {
			if l[i] == s {
				l[i] = l[len(l)-1]
				l = l[:len(l)-1]
				break
			}
		}
		if len(l) == 0 {
			delete(x.ids, id)
		} else {
			x.ids[id] = l
		}
	}
	drop(x.id[s], s)
	last := uint32(len(x.hash) - 1)
	if s != last {
		drop(x.id[last], last)
		x.hash[s], x.id[s], x.max[s] = x.hash[last], x.id[last], x.max[last]
		x.ids[x.id[s]] = append(x.ids[x.id[s]], s)
	}
	x.hash, x.id, x.max = x.hash[:last], x.id[:last], x.max[:last]
}

// Search appends to dst every entry whose distance from h is at most
// maxDistance and at most its own greatest distance, in no particular order,
// and returns the extended slice. An id appears once for each of its hashes
// that match. It allocates nothing if dst has room. A maxDistance under 0
// matches nothing, one above MaxDistance counts as MaxDistance.
func (x *Index) Search(dst []Match, h *Hash, maxDistance int) []Match {
	return x.Scan(dst, h, maxDistance)
}

// SearchBatch searches for each of hs, as Search would, and appends all
// matches to dst and, for each hash, the length of dst after its matches to
// ends: with both empty at first, those of hs[i] are dst[ends[i-1]:ends[i]].
// It is for throughput; each hash is searched in a state of its own.
func (x *Index) SearchBatch(dst []Match, ends []int, hs []Hash, maxDistance int) ([]Match, []int) {
	for i := range hs {
		dst = x.Search(dst, &hs[i], maxDistance)
		ends = append(ends, len(dst))
	}
	return dst, ends
}

// Scan answers as Search does, by comparing h with every entry. It is the
// oracle of tests and benchmarks.
func (x *Index) Scan(dst []Match, h *Hash, maxDistance int) []Match {
	q := words(h)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for s := range x.hash {
		if d := distance(&q, &x.hash[s]); d <= maxDistance && d <= int(x.max[s]) {
			dst = append(dst, Match{ID: x.id[s], Distance: uint16(d)})
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
	return len(x.hash)
}

// Bytes returns the memory that the index holds, in bytes.
func (x *Index) Bytes() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return int64(len(x.hash)) * (32 + 8 + 1 + 48)
}
