package index

import (
	"math/rand/v2"
	"testing"
)

// TestPagesAreTrees fills one bucket until its page is three nodes deep, beside
// buckets of the same page, and empties it again: every slot is where it
// belongs at each depth, and all frames and nodes are free at the end.
func TestPagesAreTrees(t *testing.T) {
	var x tables
	x.pages.grow(nTables * nPages)
	const key, slots = 5, 70_000
	r := rand.New(rand.NewPCG(1, 1))
	keyOf := func(slot uint32) uint16 {
		if slot%7 == 0 {
			return uint16(slot / 7 % pageKeys)
		}
		return key
	}
	check := func(in map[uint32]bool) {
		t.Helper()
		p, seen := x.page(3, key), 0
		depth := depthOf(framesOf(p.end[pageKeys-1]))
		for b := range uint32(pageKeys) {
			for at := p.start(b); at < p.end[b]; at++ {
				f := x.frame(p, at/frameLen, depth)
				s := x.slot(f, at%frameLen)
				if !in[s] || uint32(keyOf(s)) != b || x.near.s[f][at%frameLen] != uint16(s*3) {
					t.Fatalf("slot %d (there: %v) in bucket %d", s, in[s], b)
				}
				seen++
			}
		}
		if seen != len(in) {
			t.Fatalf("%d elements, want %d", seen, len(in))
		}
	}
	in, order := map[uint32]bool{}, r.Perm(slots)
	deepest := 0
	for i, s := range order {
		x.insert(3, keyOf(uint32(s)), uint16(s*3), uint32(s))
		in[uint32(s)] = true
		deepest = max(deepest, depthOf(framesOf(x.page(3, key).end[pageKeys-1])))
		if i == 200 || i == 300 || i == 4200 || i == slots-1 {
			check(in)
		}
	}
	if deepest < 3 {
		t.Fatalf("the page is %d nodes deep: the test shows less than it should", deepest)
	}
	for i, s := range order {
		// From the front of the bucket, to find it at once.
		p := x.page(3, key)
		if p.end[key] > p.start(key) && i%2 == 0 {
			f := x.frame(p, p.start(key)/frameLen, depthOf(framesOf(p.end[pageKeys-1])))
			s = int(x.slot(f, p.start(key)%frameLen))
		}
		if !in[uint32(s)] {
			continue
		}
		x.removeFrom(3, keyOf(uint32(s)), uint32(s))
		delete(in, uint32(s))
		if len(in) == 66_000 || len(in) == 30_000 {
			check(in)
		}
		if len(in) < 29_000 {
			break
		}
	}
	for s := range in {
		p := x.page(3, keyOf(s))
		b := uint32(keyOf(s) % pageKeys)
		for p.end[b] > p.start(b) {
			f := x.frame(p, p.start(b)/frameLen, depthOf(framesOf(p.end[pageKeys-1])))
			x.removeFrom(3, uint16(b), x.slot(f, p.start(b)%frameLen))
		}
	}
	free := 0
	for f := x.freeFrame; f != 0; free++ {
		l := &x.lo.s[f-1]
		f = uint32(l[0]) | uint32(l[1])<<16
	}
	nodes := 0
	for n := x.freeNode; n != 0; nodes++ {
		n = x.nodes.s[n-1][0]
	}
	if free != len(x.near.s) || nodes != len(x.nodes.s) {
		t.Errorf("%d of %d frames and %d of %d nodes are free at the end", free, len(x.near.s), nodes, len(x.nodes.s))
	}
}
