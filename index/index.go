package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"math/rand/v2"
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
	// writing is held by whoever writes, for as long as it must be alone.
	writing sync.Mutex

	mu sync.RWMutex // guards what follows; to change it needs writing too

	// A slot is a hash, held once, and the first entry of that hash. The
	// tables hold the slots before indexed; the others are looked at one by one.
	hash     region[[4]uint64] // by slot, as are the next five
	id       region[uint64]
	meta     region[uint8]  // greatest distance of the own entry, and hasExtras
	own      region[uint64] // a bit: the slot has an entry of its own
	nextID   region[uint32] // ring of the entries of an id, as reference ^ self,
	prevID   region[uint32] // so that those of one entry are never written
	tables   tables
	indexed  int
	freeSlot uint32 // 1 + first free slot; the next is in its hash
	building bool   // leave new slots to build

	// Extras are further entries of the hash of a slot.
	extras    region[extra]
	freeExtra uint32            // 1 + first free extra; the next is in slot
	heads     map[uint32]uint32 // first extra of a slot
	dups      map[dup]uint32    // extra of a slot and id

	ids    refmap // one entry of each id
	hashes refmap // slot of each hash
	seed   [4]uint64

	n      int                  // entries
	linked int                  // entries whose id has more than one
	dists  [MaxDistance + 1]int // entries by their greatest distance
	widest int                  // the greatest of these, -1 without entries
}

// hasExtras is set in the meta of a slot with extras.
const hasExtras = 0x80

// An entry is named by a reference: a slot, or isExtra and an extra.
const isExtra = 1 << 31

type extra struct {
	id             uint64
	nextID, prevID uint32 // ring of the id, references
	next, prev     uint32 // list of the slot, 1 + extra, 0 at the ends
	slot           uint32
	max            uint32
}

type dup struct {
	id   uint64
	slot uint32
}

// smallIndex is up to how many slots are searched one by one: sooner than the
// tables answer, and without their memory.
const smallIndex = 1 << 14

// New returns an empty index.
func New(Options) *Index {
	x := &Index{heads: map[uint32]uint32{}, dups: map[dup]uint32{}, widest: -1}
	for i := range x.seed {
		x.seed[i] = rand.Uint64()
	}
	m := newMappings(x)
	x.hash.maps, x.id.maps, x.meta.maps, x.own.maps, x.nextID.maps, x.prevID.maps = m, m, m, m, m, m
	x.extras.maps, x.ids.cur.maps, x.ids.next.maps, x.hashes.cur.maps, x.hashes.next.maps = m, m, m, m, m
	x.tables.setMaps(m)
	x.ids.hash = func(ref uint32) uint64 { return x.hashID(x.idOf(ref)) }
	x.hashes.hash = func(slot uint32) uint64 { return x.hashHash(&x.hash.s[slot]) }
	return x
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

// mix spreads two words over one. The seeds are random, so that nobody can
// choose ids or hashes that collide.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (x *Index) hashID(id uint64) uint64 { return mix(mix(id^x.seed[0], x.seed[1]|1), x.seed[2]|1) }

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
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insert(id, words(&h), maxDistance)
	return nil
}

// InsertAll inserts the entries in order, as Insert would, and stops with
// Insert's error at one that is refused, those before it inserted. It is the
// fast way to fill an empty index: about two seconds for a million. Until it
// is through, other writes may wait, searches do not.
func (x *Index) InsertAll(entries iter.Seq[Entry]) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.building = x.n == 0 && x.freeSlot == 0 && x.indexed == 0
	defer func() { x.building = false }()
	n := 0
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := range entries {
		if err := checkDistance(e.MaxDistance); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		x.insert(e.ID, words(&e.Hash), e.MaxDistance)
		if n++; n%32 == 0 {
			x.mu.Unlock()
			if !x.building {
				x.writing.Unlock()
				x.writing.Lock()
			}
			x.mu.Lock()
		}
	}
	if x.building && len(x.hash.s) > smallIndex {
		hash := x.hash.s
		x.mu.Unlock() // searches read, and nobody else writes
		x.tables.build(hash)
		x.mu.Lock()
		x.indexed = len(hash)
	}
	return nil
}

// insert is Insert. The caller holds the locks.
func (x *Index) insert(id uint64, h [4]uint64, maxDistance int) {
	hh := x.hashHash(&h)
	slot, ok := x.hashes.find(hh, func(s uint32) bool { return x.hash.s[s] == h })
	if !ok {
		slot = x.newSlot(&h)
		x.hashes.put(hh, slot)
		x.setOwn(slot, id, maxDistance)
		if int(slot) < x.indexed {
			x.tables.add(&h, slot)
		}
		x.catchUp()
		return
	}
	if !x.hasOwn(slot) {
		if e, ok := x.dups[dup{id, slot}]; ok {
			x.setExtraMax(e, maxDistance)
			return
		}
		x.setOwn(slot, id, maxDistance)
		return
	}
	if x.id.s[slot] == id {
		m := &x.meta.s[slot]
		x.count(int(*m&^hasExtras), -1)
		x.count(maxDistance, 1)
		*m = *m&hasExtras | uint8(maxDistance)
		return
	}
	if e, ok := x.dups[dup{id, slot}]; ok {
		x.setExtraMax(e, maxDistance)
		return
	}
	x.addExtra(slot, id, maxDistance)
}

// catchUp puts up to two of the slots that are not in the tables into them,
// once there are many.
func (x *Index) catchUp() {
	if len(x.hash.s) <= smallIndex || x.building {
		return
	}
	for range 2 {
		if x.indexed == len(x.hash.s) {
			return
		}
		if s := uint32(x.indexed); x.hasOwn(s) || x.meta.s[s]&hasExtras != 0 {
			x.tables.add(&x.hash.s[s], s)
		}
		x.indexed++
	}
}

// newSlot returns a slot for h that has no entry yet.
func (x *Index) newSlot(h *[4]uint64) uint32 {
	if x.freeSlot != 0 {
		s := x.freeSlot - 1
		x.freeSlot = uint32(x.hash.s[s][0])
		x.hash.s[s] = *h
		return s
	}
	n := len(x.hash.s)
	x.hash.grow(n + 1)
	x.id.grow(n + 1)
	x.meta.grow(n + 1)
	x.own.grow(n/64 + 1)
	x.nextID.grow(n + 1)
	x.prevID.grow(n + 1)
	x.hash.s[n] = *h
	return uint32(n)
}

// dropSlot frees a slot that has no entry any more.
func (x *Index) dropSlot(slot uint32) {
	h := &x.hash.s[slot]
	x.hashes.remove(x.hashHash(h), slot)
	if int(slot) < x.indexed {
		x.tables.remove(h, slot)
	}
	*h = [4]uint64{uint64(x.freeSlot)}
	x.meta.s[slot] = 0
	x.freeSlot = slot + 1
}

func (x *Index) hasOwn(slot uint32) bool { return x.own.s[slot/64]>>(slot%64)&1 != 0 }

// setOwn gives a slot an entry of its own.
func (x *Index) setOwn(slot uint32, id uint64, maxDistance int) {
	x.own.s[slot/64] |= 1 << (slot % 64)
	x.id.s[slot] = id
	x.meta.s[slot] = x.meta.s[slot]&hasExtras | uint8(maxDistance)
	x.count(maxDistance, 1)
	x.n++
	x.link(slot, id)
}

// addExtra gives a slot one more entry.
func (x *Index) addExtra(slot uint32, id uint64, maxDistance int) {
	e := x.freeExtra
	if e != 0 {
		x.freeExtra = x.extras.s[e-1].slot
	} else {
		x.extras.grow(len(x.extras.s) + 1)
		e = uint32(len(x.extras.s))
	}
	e--
	head := x.heads[slot]
	if x.meta.s[slot]&hasExtras != 0 {
		x.extras.s[head].prev = e + 1
		head++
	}
	x.extras.s[e] = extra{id: id, next: head, slot: slot, max: uint32(maxDistance)}
	x.heads[slot] = e
	x.meta.s[slot] |= hasExtras
	x.dups[dup{id, slot}] = e
	x.count(maxDistance, 1)
	x.n++
	x.link(e|isExtra, id)
}

func (x *Index) setExtraMax(e uint32, maxDistance int) {
	x.count(int(x.extras.s[e].max), -1)
	x.count(maxDistance, 1)
	x.extras.s[e].max = uint32(maxDistance)
}

// count keeps the greatest distance of all entries.
func (x *Index) count(maxDistance, by int) {
	x.dists[maxDistance] += by
	x.widest = max(x.widest, maxDistance)
	for x.widest >= 0 && x.dists[x.widest] == 0 {
		x.widest--
	}
}

func (x *Index) idOf(ref uint32) uint64 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].id
	}
	return x.id.s[ref]
}

func (x *Index) next(ref uint32) uint32 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].nextID
	}
	return x.nextID.s[ref] ^ ref
}

func (x *Index) prev(ref uint32) uint32 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].prevID
	}
	return x.prevID.s[ref] ^ ref
}

// join makes b the successor of a in their ring.
func (x *Index) join(a, b uint32) {
	if a&isExtra != 0 {
		x.extras.s[a&^isExtra].nextID = b
	} else if x.nextID.s[a]^a != b {
		x.nextID.s[a] = a ^ b
	}
	if b&isExtra != 0 {
		x.extras.s[b&^isExtra].prevID = a
	} else if x.prevID.s[b]^b != a {
		x.prevID.s[b] = a ^ b
	}
}

// link adds an entry to those of its id.
func (x *Index) link(ref uint32, id uint64) {
	h := x.hashID(id)
	head, ok := x.ids.find(h, func(r uint32) bool { return x.idOf(r) == id })
	if !ok {
		x.join(ref, ref)
		x.ids.put(h, ref)
		return
	}
	if x.next(head) == head {
		x.linked++
	}
	x.linked++
	x.join(ref, x.next(head))
	x.join(head, ref)
}

// remove takes an entry out.
func (x *Index) remove(ref uint32) {
	h, next := x.hashID(x.idOf(ref)), x.next(ref)
	if next == ref {
		x.ids.remove(h, ref)
	} else {
		prev := x.prev(ref)
		x.join(prev, next)
		x.join(ref, ref)
		x.ids.replace(h, ref, next)
		if x.linked--; prev == next {
			x.linked--
		}
	}
	x.n--
	slot := ref
	if ref&isExtra == 0 {
		x.own.s[slot/64] &^= 1 << (slot % 64)
		x.count(int(x.meta.s[slot]&^hasExtras), -1)
	} else {
		e := &x.extras.s[ref&^isExtra]
		slot = e.slot
		x.count(int(e.max), -1)
		delete(x.dups, dup{e.id, slot})
		if e.next != 0 {
			x.extras.s[e.next-1].prev = e.prev
		}
		switch {
		case e.prev != 0:
			x.extras.s[e.prev-1].next = e.next
		case e.next != 0:
			x.heads[slot] = e.next - 1
		default:
			delete(x.heads, slot)
			x.meta.s[slot] &^= hasExtras
		}
		*e = extra{slot: x.freeExtra}
		x.freeExtra = ref&^isExtra + 1
	}
	if !x.hasOwn(slot) && x.meta.s[slot]&hasExtras == 0 {
		x.dropSlot(slot)
	}
}

// Delete removes all entries of id and returns their number. When it has
// returned, no search finds them; while it runs, a search may find some.
func (x *Index) Delete(id uint64) int {
	h := x.hashID(id)
	some := func() (n int) {
		x.writing.Lock()
		defer x.writing.Unlock()
		x.mu.Lock()
		defer x.mu.Unlock()
		for n < 32 {
			ref, ok := x.ids.find(h, func(r uint32) bool { return x.idOf(r) == id })
			if !ok {
				break
			}
			x.remove(ref)
			n++
		}
		return n
	}
	n := some()
	for more := n; more == 32; n += more {
		more = some()
	}
	return n
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
	if x.hasOwn(slot) && x.id.s[slot] == id {
		x.remove(slot)
		return true
	}
	e, ok := x.dups[dup{id, slot}]
	if ok {
		x.remove(e | isExtra)
	}
	return ok
}

// emit appends the entries of a slot at distance d that match within r.
func (x *Index) emit(dst []Match, slot uint32, d, r int) []Match {
	meta := x.meta.s[slot]
	if d <= int(meta&^hasExtras) && d <= r && x.hasOwn(slot) {
		dst = append(dst, Match{ID: x.id.s[slot], Distance: uint16(d)})
	}
	if meta&hasExtras != 0 {
		for e := x.heads[slot] + 1; e != 0; e = x.extras.s[e-1].next {
			if x := &x.extras.s[e-1]; d <= int(x.max) && d <= r {
				dst = append(dst, Match{ID: x.id, Distance: uint16(d)})
			}
		}
	}
	return dst
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
	n := x.hash.bytes() + x.id.bytes() + x.meta.bytes() + x.own.bytes() +
		x.tables.bytes() + x.extras.bytes() + x.ids.bytes() + x.hashes.bytes()
	if x.linked > 0 || x.nextID.m == nil {
		n += x.nextID.bytes() + x.prevID.bytes()
	}
	const perDup, perHead = 48, 16 // map slots
	return n + int64(len(x.dups))*perDup + int64(len(x.heads))*perHead
}
