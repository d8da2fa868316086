package index

import (
	"math/bits"
	"math/rand/v2"
)

// entries are the pairs of ids and slots of an index. A slot stands for one
// key, whatever that is; it has one entry of its own, and further ones, which
// are rare, are its extras. Every operation takes a bounded time, however many
// entries an id or a slot has.
type entries struct {
	id       region[uint64] // by slot, as are the next four; next free slot in a free one
	meta     region[uint8]  // greatest distance of the own entry, and extrasFlag
	own      region[uint64] // a bit: the slot has an entry of its own
	nextID   region[uint32] // ring of the entries of an id, as reference ^ self,
	prevID   region[uint32] // so that those of one entry are never written
	freeSlot uint32         // 1 + first free slot

	extras    region[extra]
	freeExtra uint32            // 1 + first free extra; the next is in next
	heads     map[uint32]uint32 // first extra of a slot
	dups      map[dup]uint32    // extra of a slot and id

	ids  refmap // one entry of each id
	seed [4]uint64

	n      int                  // entries
	linked int                  // entries whose id has more than one
	dists  [MaxDistance + 1]int // entries by their greatest distance
	widest int                  // the greatest of these, -1 without entries
}

// extrasFlag is set in the meta of a slot with extras.
const extrasFlag = 0x80

// An entry is named by a reference: a slot, or isExtra and an extra.
const isExtra = 1 << 31

const noSlot = ^uint32(0)

type extra struct {
	id             uint64
	nextID, prevID uint32 // ring of the id, references
	next, prev     uint32 // list of the slot, 1 + extra, 0 at the ends
	slot           uint32 // noSlot in a free one
	max            uint32
}

type dup struct {
	id   uint64
	slot uint32
}

func (x *entries) init(m *mappings, o Options) {
	x.heads, x.dups, x.widest = map[uint32]uint32{}, map[dup]uint32{}, -1
	for i := range x.seed {
		x.seed[i] = rand.Uint64()
	}
	x.id.maps, x.meta.maps, x.own.maps, x.nextID.maps, x.prevID.maps = m, m, m, m, m
	x.extras.maps = m
	x.ids.init(m, func(ref uint32) uint64 { return x.hashID(x.idOf(ref)) })
	x.reserve(o.Entries)
}

// reserve makes room for n entries where it costs nothing until it is used.
func (x *entries) reserve(n int) {
	x.id.reserve(n)
	x.meta.reserve(n)
	x.nextID.reserve(n)
	x.prevID.reserve(n)
	x.ids.reserve(n)
}

func (x *entries) bytes() int64 {
	n := x.id.bytes() + x.meta.bytes() + x.own.bytes() + x.extras.bytes() + x.ids.bytes()
	if x.linked > 0 || x.nextID.m == nil {
		n += x.nextID.bytes() + x.prevID.bytes()
	}
	const perDup, perHead = 48, 16 // map slots
	return n + int64(len(x.dups))*perDup + int64(len(x.heads))*perHead
}

// mix spreads two words over one. The seeds are random, so that nobody can
// choose ids or hashes that collide.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (x *entries) hashID(id uint64) uint64 { return mix(mix(id^x.seed[0], x.seed[1]|1), x.seed[2]|1) }

func (x *entries) hasOwn(slot uint32) bool { return x.own.s[slot/64]>>(slot%64)&1 != 0 }

func (x *entries) hasExtras(slot uint32) bool { return x.meta.s[slot]&extrasFlag != 0 }

// used says whether a slot has an entry.
func (x *entries) used(slot uint32) bool { return x.hasOwn(slot) || x.hasExtras(slot) }

// set makes (id, slot) an entry, or changes its greatest distance if it is one.
func (x *entries) set(slot uint32, id uint64, maxDistance int) {
	if x.hasOwn(slot) && x.id.s[slot] == id {
		m := &x.meta.s[slot]
		x.count(int(*m&^extrasFlag), -1)
		x.count(maxDistance, 1)
		*m = *m&extrasFlag | uint8(maxDistance)
	} else if e, ok := x.dups[dup{id, slot}]; ok {
		x.count(int(x.extras.s[e].max), -1)
		x.count(maxDistance, 1)
		x.extras.s[e].max = uint32(maxDistance)
	} else if !x.hasOwn(slot) {
		x.setOwn(slot, id, maxDistance)
	} else {
		x.addExtra(slot, id, maxDistance)
	}
}

// get returns the entry (id, slot).
func (x *entries) get(slot uint32, id uint64) (ref uint32, ok bool) {
	if x.hasOwn(slot) && x.id.s[slot] == id {
		return slot, true
	}
	e, ok := x.dups[dup{id, slot}]
	return e | isExtra, ok
}

// find returns an entry of id.
func (x *entries) find(id uint64) (ref uint32, ok bool) {
	return x.ids.find(x.hashID(id), func(r uint32) bool { return x.idOf(r) == id })
}

// newSlot returns a slot that has no entry yet: a free one, or a new one.
func (x *entries) newSlot() uint32 {
	if s := x.freeSlot; s != 0 {
		x.freeSlot = uint32(x.id.s[s-1])
		return s - 1
	}
	n := len(x.id.s)
	x.id.grow(n + 1)
	x.meta.grow(n + 1)
	x.own.grow(n/64 + 1)
	x.nextID.grow(n + 1)
	x.prevID.grow(n + 1)
	return uint32(n)
}

// dropSlot frees a slot that has no entry any more.
func (x *entries) dropSlot(slot uint32) {
	x.id.s[slot] = uint64(x.freeSlot)
	x.freeSlot = slot + 1
}

// setOwn gives a slot an entry of its own.
func (x *entries) setOwn(slot uint32, id uint64, maxDistance int) {
	x.own.s[slot/64] |= 1 << (slot % 64)
	x.id.s[slot] = id
	x.meta.s[slot] = x.meta.s[slot]&extrasFlag | uint8(maxDistance)
	x.count(maxDistance, 1)
	x.n++
	x.link(slot, id)
}

// addExtra gives a slot one more entry.
func (x *entries) addExtra(slot uint32, id uint64, maxDistance int) {
	e := x.freeExtra
	if e != 0 {
		x.freeExtra = x.extras.s[e-1].next
	} else {
		x.extras.grow(len(x.extras.s) + 1)
		e = uint32(len(x.extras.s))
	}
	e--
	head := x.heads[slot]
	if x.hasExtras(slot) {
		x.extras.s[head].prev = e + 1
		head++
	}
	x.extras.s[e] = extra{id: id, next: head, slot: slot, max: uint32(maxDistance)}
	x.heads[slot] = e
	x.meta.s[slot] |= extrasFlag
	x.dups[dup{id, slot}] = e
	x.count(maxDistance, 1)
	x.n++
	x.link(e|isExtra, id)
}

// count keeps the greatest distance of all entries.
func (x *entries) count(maxDistance, by int) {
	x.dists[maxDistance] += by
	x.widest = max(x.widest, maxDistance)
	for x.widest >= 0 && x.dists[x.widest] == 0 {
		x.widest--
	}
}

func (x *entries) idOf(ref uint32) uint64 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].id
	}
	return x.id.s[ref]
}

func (x *entries) next(ref uint32) uint32 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].nextID
	}
	return x.nextID.s[ref] ^ ref
}

func (x *entries) prev(ref uint32) uint32 {
	if ref&isExtra != 0 {
		return x.extras.s[ref&^isExtra].prevID
	}
	return x.prevID.s[ref] ^ ref
}

// join makes b the successor of a in their ring.
func (x *entries) join(a, b uint32) {
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
func (x *entries) link(ref uint32, id uint64) {
	h := x.hashID(id)
	head, ok := x.find(id)
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

// remove takes an entry out, and says of which slot and whether that has
// no entry any more.
func (x *entries) remove(ref uint32) (slot uint32, empty bool) {
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
	slot = ref
	if ref&isExtra == 0 {
		x.own.s[slot/64] &^= 1 << (slot % 64)
		x.count(int(x.meta.s[slot]&^extrasFlag), -1)
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
			x.meta.s[slot] &^= extrasFlag
		}
		*e = extra{slot: noSlot, next: x.freeExtra}
		x.freeExtra = ref&^isExtra + 1
	}
	return slot, !x.used(slot)
}

// emit appends the entries of a slot at distance d that match within r.
func (x *entries) emit(dst []Match, slot uint32, d, r int) []Match {
	meta := x.meta.s[slot]
	if d <= int(meta&^extrasFlag) && d <= r && x.hasOwn(slot) {
		dst = append(dst, Match{ID: x.id.s[slot], Distance: uint16(d)})
	}
	if meta&extrasFlag != 0 {
		for e := x.heads[slot] + 1; e != 0; e = x.extras.s[e-1].next {
			if x := &x.extras.s[e-1]; d <= int(x.max) && d <= r {
				dst = append(dst, Match{ID: x.id, Distance: uint16(d)})
			}
		}
	}
	return dst
}
