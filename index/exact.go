package index

import (
	"fmt"
	"strings"
	"sync"
)

// MaxKey is the longest key of an Exact, in bytes.
const MaxKey = 1 << 16

// Exact holds keys and finds the ids of those equal to a given one: digests,
// canonical addresses, keyed hashes. Use NewExact to make one. All methods may
// be called concurrently.
type Exact struct {
	mu sync.RWMutex // guards what follows

	entries                   // a slot is a key, held once; their distances are 0
	key     []string          // by slot, "" in a free one
	keys    map[string]uint32 // slot of a key
	size    int64             // of all keys
}

// NewExact returns an empty index.
func NewExact(o Options) *Exact {
	x := &Exact{keys: map[string]uint32{}}
	x.entries.init(newMappings(x), o)
	return x
}

// Insert adds the entry (id, key); one that is there already stays. Its error
// wraps ErrKey for a key longer than MaxKey.
func (x *Exact) Insert(id uint64, key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: %d bytes; at most %d are kept", ErrKey, len(key), MaxKey)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	slot, ok := x.keys[key]
	if !ok {
		key = strings.Clone(key) // not all of what it may be a part of
		if slot = x.newSlot(); int(slot) == len(x.key) {
			x.key = append(x.key, key)
		}
		x.key[slot] = key
		x.keys[key] = slot
		x.size += int64(len(key))
	}
	x.set(slot, id, 0)
	return nil
}

// Delete removes all entries of id and returns their number. When it has
// returned, no search finds them; while it runs, a search may find some.
func (x *Exact) Delete(id uint64) int {
	return deleteAll(func() (n int) {
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

// DeleteEntry removes the entry (id, key) and says whether it was there.
func (x *Exact) DeleteEntry(id uint64, key string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	slot, ok := x.keys[key]
	if !ok {
		return false
	}
	ref, ok := x.get(slot, id)
	if ok {
		x.drop(ref)
	}
	return ok
}

// drop takes an entry out. The caller holds mu.
func (x *Exact) drop(ref uint32) {
	slot, empty := x.remove(ref)
	if !empty {
		return
	}
	delete(x.keys, x.key[slot])
	x.size -= int64(len(x.key[slot]))
	x.key[slot] = ""
	x.dropSlot(slot)
}

// Search appends to dst a match for each id of key and returns the extended
// slice. It allocates nothing if dst has room.
func (x *Exact) Search(dst []Match, key string) []Match {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if slot, ok := x.keys[key]; ok {
		dst = x.emit(dst, slot, 0, 0)
	}
	return dst
}

// InsertKey is Insert; the distance must be from 0 to MaxDistance and is not
// used.
func (x *Exact) InsertKey(id uint64, key []byte, maxDistance int) error {
	if err := checkDistance(maxDistance); err != nil {
		return err
	}
	return x.Insert(id, string(key))
}

// SearchKey is Search; a maxDistance under 0 matches nothing.
func (x *Exact) SearchKey(dst []Match, key []byte, maxDistance int) []Match {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if slot, ok := x.keys[string(key)]; ok && maxDistance >= 0 {
		dst = x.emit(dst, slot, 0, 0)
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
	const perKey = 16 + 32 // header, map slot
	return x.entries.bytes() + x.size + int64(len(x.key))*perKey
}
