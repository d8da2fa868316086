package index

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// MaxKey is the longest key of an Exact, in bytes.
const MaxKey = 1 << 16

// Exact holds keys and finds the ids of those equal to a given one: digests,
// canonical addresses, keyed hashes. Use NewExact to make one. All methods may
// be called concurrently.
type Exact struct {
	mu    sync.RWMutex
	keys  map[string][]uint64 // ids of a key, without repetition
	ids   map[uint64][]string // keys of an id, without repetition
	n     int                 // pairs
	bytes int64               // of keys, counted once each
}

// NewExact returns an empty index.
func NewExact(Options) *Exact {
	return &Exact{keys: map[string][]uint64{}, ids: map[uint64][]string{}}
}

// Insert adds the entry (id, key); one that is there already stays. Its error
// wraps ErrKey for a key longer than MaxKey.
func (x *Exact) Insert(id uint64, key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: %d bytes; at most %d are kept", ErrKey, len(key), MaxKey)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	l, ok := x.keys[key]
	if slices.Contains(l, id) {
		return nil
	}
	if !ok {
		x.bytes += int64(len(key))
	}
	x.keys[key] = append(l, id)
	x.ids[id] = append(x.ids[id], key)
	x.n++
	return nil
}

// Delete removes all entries of id and returns their number.
func (x *Exact) Delete(id uint64) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.ids[id]
	for _, key := range l {
		x.drop(id, key)
	}
	delete(x.ids, id)
	return len(l)
}

// DeleteEntry removes the entry (id, key) and says whether it was there.
func (x *Exact) DeleteEntry(id uint64, key string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.ids[id]
	i := slices.Index(l, key)
	if i < 0 {
		return false
	}
	x.drop(id, key)
	if l = slices.Delete(l, i, i+1); len(l) == 0 {
		delete(x.ids, id)
	} else {
		x.ids[id] = l
	}
	return true
}

// drop takes id from the list of key. The caller holds mu.
func (x *Exact) drop(id uint64, key string) {
	l := x.keys[key]
	i := slices.Index(l, id)
	if l = slices.Delete(l, i, i+1); len(l) == 0 {
		delete(x.keys, key)
		x.bytes -= int64(len(key))
	} else {
		x.keys[key] = l
	}
	x.n--
}

// Search appends to dst a match for each id of key and returns the extended
// slice. It allocates nothing if dst has room.
func (x *Exact) Search(dst []Match, key string) []Match {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, id := range x.keys[key] {
		dst = append(dst, Match{ID: id})
	}
	return dst
}

// InsertKey is Insert; the distance must be from 0 to MaxDistance and is not
// used.
func (x *Exact) InsertKey(id uint64, key []byte, maxDistance int) error {
	if maxDistance < 0 || maxDistance > MaxDistance {
		return fmt.Errorf("%w: %d bits; give 0 to %d", ErrDistance, maxDistance, MaxDistance)
	}
	return x.Insert(id, string(key))
}

// SearchKey is Search; a maxDistance under 0 matches nothing.
func (x *Exact) SearchKey(dst []Match, key []byte, maxDistance int) []Match {
	if maxDistance < 0 {
		return dst
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, id := range x.keys[string(key)] {
		dst = append(dst, Match{ID: id})
	}
	return dst
}

// Len returns the number of entries.
func (x *Exact) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.n
}

// Bytes estimates the memory that the index holds, in bytes.
func (x *Exact) Bytes() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	const perKey, perID = 16 + 24 + 8, 8 + 24 + 16 // map slots and list headers
	return x.bytes + int64(len(x.keys))*perKey + int64(len(x.ids))*perID + int64(x.n)*(8+16)
}

// Snapshot writes all entries to w in the format that LoadExact reads.
func (x *Exact) Snapshot(w io.Writer) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	sw, err := newSnapshotWriter(w, kindExact, uint64(x.n))
	if err != nil {
		return err
	}
	for key, ids := range x.keys {
		for _, id := range ids {
			if err := sw.exact(id, key); err != nil {
				return err
			}
		}
	}
	return sw.close()
}
