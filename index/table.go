package index

import "math/bits"

const (
	nTables  = 16
	pageKeys = 8                  // buckets of a page
	pageRefs = 8                  // references of a page
	nPages   = 1 << 16 / pageKeys // pages of a table
	frameLen = 32                 // elements of a frame
	nodeLen  = 16                 // references of a node
)

// tables are sixteen tables of the same slots, one for each 16-bit word of the
// hash. An element of table i is a slot and, beside it, the hash's next word
// (i+1, after the last the first), which rejects all but one in some hundred
// without a look at the hash.
//
//	table    8192 pages
//	page     8 buckets, whose keys differ in the last 3 bits, packed one
//	         after the other into frames: no gaps, bounds in end
//	frame    32 elements, kept as arrays: near (64 bytes, one cache line,
//	         all that most searches read), lo, hi and top of the slot
//
// The frames of a page are listed in ref, or, when they are more than 8, in a
// tree of nodes of 16 references, as deep as needed. Frames and nodes are all
// of one size, so that space given back is always of use, and an insertion or
// a deletion moves one element of each later bucket of the page and nothing
// else: the tables are always compact and never rebuilt.
type tables struct {
	pages region[page]             // nTables * nPages
	near  region[[frameLen]uint16] // these four by frame
	lo    region[[frameLen]uint16] // bits 0 to 15 of the slot
	hi    region[[frameLen]uint8]  // bits 16 to 23
	top   region[[frameLen]uint8]  // bits 24 to 31; empty until a slot needs them
	nodes region[[nodeLen]uint32]

	freeFrame uint32 // 1 + first free frame; the next is in lo[0], lo[1]
	freeNode  uint32 // 1 + first free node; the next is in [0]
	touched   uint32 // keeps reads that are made for the cache
}

func (t *tables) init(m *mappings) {
	t.pages.maps, t.near.maps, t.lo.maps, t.hi.maps, t.top.maps, t.nodes.maps = m, m, m, m, m, m
}

func (t *tables) bytes() int64 {
	return t.pages.bytes() + t.near.bytes() + t.lo.bytes() + t.hi.bytes() + t.top.bytes() + t.nodes.bytes()
}

// page is one page: a cache line.
type page struct {
	end [pageKeys]uint32 // end of each bucket, which begins where the one before ends
	ref [pageRefs]uint32 // frames, or the nodes above them
}

// start returns where bucket b begins.
func (p *page) start(b uint32) uint32 {
	if b == 0 {
		return 0
	}
	return p.end[(b-1)%pageKeys]
}

// page returns the page of a key.
func (t *tables) page(table int, key uint16) *page {
	return &t.pages.s[table*nPages+int(key/pageKeys)]
}

func framesOf(n uint32) uint32 { return (n + frameLen - 1) / frameLen }

// depthOf returns how many nodes lie between a page and its frames.
func depthOf(frames uint32) int {
	if frames == 0 {
		return 0
	}
	return bits.Len32(frames-1) / 4
}

// frame returns frame number f of a page, given its depth.
func (t *tables) frame(p *page, f uint32, depth int) uint32 {
	ref := p.ref[f>>(4*depth)%pageRefs]
	for depth > 0 {
		depth--
		ref = t.nodes.s[ref][f>>(4*depth)&15]
	}
	return ref
}

// frames returns where the number of frame f of a page is; those up to the
// next multiple of nodeLen, or all at depth 0, follow.
func (t *tables) frames(p *page, f uint32, depth int) *uint32 {
	if depth == 0 {
		return &p.ref[f%pageRefs]
	}
	ref := p.ref[f>>(4*depth)%pageRefs]
	for depth--; depth > 0; depth-- {
		ref = t.nodes.s[ref][f>>(4*depth)&15]
	}
	return &t.nodes.s[ref][f&15]
}

func (t *tables) newFrame() uint32 {
	if f := t.freeFrame; f != 0 {
		l := &t.lo.s[f-1]
		t.freeFrame = uint32(l[0]) | uint32(l[1])<<16
		return f - 1
	}
	n := len(t.near.s)
	t.growFrames(n + 1)
	return uint32(n)
}

func (t *tables) growFrames(n int) {
	t.near.grow(n)
	t.lo.grow(n)
	t.hi.grow(n)
	if len(t.top.s) > 0 {
		t.top.grow(n)
	}
}

func (t *tables) newNode() uint32 {
	if n := t.freeNode; n != 0 {
		t.freeNode = t.nodes.s[n-1][0]
		return n - 1
	}
	n := len(t.nodes.s)
	t.nodes.grow(n + 1)
	return uint32(n)
}

func (t *tables) dropNode(n uint32) {
	t.nodes.s[n][0] = t.freeNode
	t.freeNode = n + 1
}

// push adds a frame to a page of f frames.
func (t *tables) push(p *page, f, frame uint32) {
	depth := depthOf(f + 1)
	if depth > depthOf(f) { // the references move into a node
		n := t.newNode()
		copy(t.nodes.s[n][:], p.ref[:])
		p.ref = [pageRefs]uint32{n}
	}
	if depth == 0 {
		p.ref[f%pageRefs] = frame
		return
	}
	var n uint32
	for d := depth; ; d-- {
		at := f >> (4 * d) & 15
		if d == 0 {
			t.nodes.s[n][at] = frame
			return
		}
		if f&(1<<(4*d)-1) == 0 { // the first frame below a new node
			child := t.newNode()
			if d == depth {
				p.ref[at%pageRefs] = child
			} else {
				t.nodes.s[n][at] = child
			}
		}
		if d == depth {
			n = p.ref[at%pageRefs]
		} else {
			n = t.nodes.s[n][at]
		}
	}
}

// pop takes the last of a page's f frames away and frees it.
func (t *tables) pop(p *page, f uint32) {
	last, depth := f-1, depthOf(f)
	n := p.ref[last>>(4*depth)%pageRefs]
	for d := depth; d > 0; d-- {
		child := t.nodes.s[n][last>>(4*(d-1))&15]
		if last&(1<<(4*d)-1) == 0 {
			t.dropNode(n)
		}
		n = child
	}
	l := &t.lo.s[n]
	l[0], l[1] = uint16(t.freeFrame), uint16(t.freeFrame>>16)
	t.freeFrame = n + 1
	if depthOf(last) < depth {
		n := p.ref[0]
		copy(p.ref[:], t.nodes.s[n][:])
		t.dropNode(n)
	}
}

// slot returns the slot of an element.
func (t *tables) slot(frame, i uint32) uint32 {
	s := uint32(t.lo.s[frame][i&31]) | uint32(t.hi.s[frame][i&31])<<16
	if len(t.top.s) > 0 {
		s |= uint32(t.top.s[frame][i&31]) << 24
	}
	return s
}

func (t *tables) set(frame, i uint32, near uint16, slot uint32) {
	i &= 31
	t.near.s[frame][i] = near
	t.lo.s[frame][i] = uint16(slot)
	t.hi.s[frame][i] = uint8(slot >> 16)
	if slot >= 1<<24 && len(t.top.s) == 0 {
		t.top.grow(len(t.near.s))
	}
	if len(t.top.s) > 0 {
		t.top.s[frame][i] = uint8(slot >> 24)
	}
}

func (t *tables) copy(to, i, from, j uint32) {
	i, j = i&31, j&31
	t.near.s[to][i] = t.near.s[from][j]
	t.lo.s[to][i] = t.lo.s[from][j]
	t.hi.s[to][i] = t.hi.s[from][j]
	if len(t.top.s) > 0 {
		t.top.s[to][i] = t.top.s[from][j]
	}
}

// word returns word i of a hash, with the hash's bytes 2i and 2i+1.
func word(h *[4]uint64, i int) uint16 { return uint16(h[i/4&3] >> (16 * (i & 3))) }

// add puts a slot into all tables.
func (t *tables) add(h *[4]uint64, slot uint32) {
	if len(t.pages.s) == 0 {
		t.pages.grow(nTables * nPages)
	}
	// Read first what all sixteen need, so that the reads overlap.
	var touched uint32
	for i := range nTables {
		touched += t.page(i, word(h, i)).end[pageKeys-1]
	}
	for i := range nTables {
		p := t.page(i, word(h, i))
		if n := p.end[pageKeys-1]; n > pageRefs*frameLen {
			touched += *t.frames(p, min(p.start(uint32(word(h, i)%pageKeys)), n-1)/frameLen, depthOf(framesOf(n)))
		}
	}
	t.touched = touched
	for i := range nTables {
		t.insert(i, word(h, i), word(h, (i+1)%nTables), slot)
	}
}

// insert puts an element into its bucket, at the end. To make room, the first
// element of each later bucket moves to that bucket's end.
func (t *tables) insert(table int, key, near uint16, slot uint32) {
	p := t.page(table, key)
	n := p.end[pageKeys-1]
	if n%frameLen == 0 {
		t.push(p, n/frameLen, t.newFrame())
	}
	depth := depthOf(n/frameLen + 1)
	to, toFrame := n, t.frame(p, n/frameLen, depth)
	for b := uint32(pageKeys - 1); b > uint32(key%pageKeys); b-- {
		if from := p.end[b-1]; from != to {
			f := t.frame(p, from/frameLen, depth)
			t.copy(toFrame, to, f, from)
			to, toFrame = from, f
		}
		p.end[b]++
	}
	t.set(toFrame, to, near, slot)
	p.end[key%pageKeys]++
}

// remove takes a slot out of all tables.
func (t *tables) remove(h *[4]uint64, slot uint32) {
	for i := range nTables {
		t.removeFrom(i, word(h, i), slot)
	}
}

// removeFrom takes an element out of its bucket; each gap is filled with the
// last element of a bucket, up to the end of the page.
func (t *tables) removeFrom(table int, key uint16, slot uint32) {
	p := t.page(table, key)
	n, b := p.end[pageKeys-1], uint32(key%pageKeys)
	depth := depthOf(framesOf(n))
	at := p.start(b)
	gapFrame := t.frame(p, at/frameLen, depth)
	for t.slot(gapFrame, at) != slot {
		if at++; at == p.end[b] {
			panic("index: slot is not in its bucket") // a bug of this package
		}
		if at%frameLen == 0 {
			gapFrame = t.frame(p, at/frameLen, depth)
		}
	}
	for ; b < pageKeys; b++ {
		last := p.end[b] - 1 // of the elements before this bucket moved down
		if last != at {
			f := t.frame(p, last/frameLen, depth)
			t.copy(gapFrame, at, f, last)
			at, gapFrame = last, f
		}
		p.end[b]--
	}
	if n%frameLen == 1 {
		t.pop(p, n/frameLen+1)
	}
}
