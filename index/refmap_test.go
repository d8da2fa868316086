package index

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRefmapIsAMap runs a refmap beside a map, through many growths, with
// hashes that crowd at one place and at the end of the table.
func TestRefmapIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		crowd := rapid.Uint64Range(1, 64).Draw(t, "shift")
		hash := func(ref uint32) uint64 { return ^uint64(0) - uint64(ref)*0x9e3779b97f4a7c15>>(crowd%64) }
		var m refmap
		m.init(nil, hash)
		model := map[uint32]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			from, n := rapid.Uint32Range(0, 500).Draw(t, "from"), rapid.Uint32Range(1, 200).Draw(t, "n")
			add := rapid.Bool().Draw(t, "add")
			for ref := from; ref < from+n; ref++ {
				switch {
				case add && !model[ref]:
					m.put(hash(ref), ref)
					model[ref] = true
				case !add && model[ref]:
					m.remove(hash(ref), ref)
					delete(model, ref)
				}
			}
			if m.n != len(model) {
				t.Fatalf("%d references, want %d", m.n, len(model))
			}
			for ref := range uint32(701) {
				got, ok := m.find(hash(ref), func(r uint32) bool { return r == ref })
				if ok != model[ref] || ok && got != ref {
					t.Fatalf("find(%d) = %d, %v; want %v", ref, got, ok, model[ref])
				}
			}
		}
	})
}

// TestRefmapFill fills a map in several passes, some keys twice and some with
// the same hash, and finds all of them.
func TestRefmapFill(t *testing.T) {
	const n = fillPass + fillPass/8
	key := func(ref uint32) uint32 {
		if ref%16 == 15 {
			return ref / 32 // of an earlier one
		}
		return ref
	}
	hash := func(ref uint32) uint64 { return mix(uint64(key(ref)/2)+1, 0x9e3779b97f4a7c15) * 0xd1342543de82ef95 } // two keys to a hash
	var m refmap
	m.init(nil, hash)
	again := 0
	m.fill(n, func(a, b uint32) bool { return key(a) == key(b) }, func(first, ref uint32) {
		if again++; key(first) != key(ref) || first >= ref {
			t.Fatalf("%d is said to be the key of %d", ref, first)
		}
	})
	find := func(ref uint32) (uint32, bool) {
		return m.find(hash(ref), func(r uint32) bool { return key(r) == key(ref) })
	}
	if m.n+again != n || again < n/17 {
		t.Fatalf("%d put and %d again, of %d", m.n, again, n)
	}
	for ref := uint32(0); ref < n; ref += 7 {
		if got, ok := find(ref); !ok || key(got) != key(ref) {
			t.Fatalf("%d is not found", ref)
		}
	}
	for ref := uint32(n); ref < n+1000; ref++ { // it goes on as any other
		if _, ok := find(ref); ok {
			continue
		}
		m.put(hash(ref), ref)
		if got, ok := find(ref); !ok || key(got) != key(ref) {
			t.Fatalf("%d is not found after it was put", ref)
		}
	}
}

// TestRefmapWorkIsBounded counts the keys that one insertion looks at, through
// several growths: that is what its time consists of, wherever the machine
// spends it.
func TestRefmapWorkIsBounded(t *testing.T) {
	looks := 0
	var m refmap
	m.init(nil, func(ref uint32) uint64 {
		looks++
		return mix(uint64(ref)+1, 0x9e3779b97f4a7c15) * 0xd1342543de82ef95
	})
	const n = 300_000
	all := make([]int, n)
	for ref := range uint32(n) {
		h := m.hash(ref)
		looks = 0
		m.put(h, ref)
		all[ref] = looks
	}
	slices.Sort(all)
	t.Logf("keys looked at by an insertion: median %d, 99 %% at most %d, all at most %d", all[n/2], all[n*99/100], all[n-1])
	if all[n*99/100] > 400 || all[n-1] > 5_000 {
		t.Errorf("99 %% of insertions look at up to %d keys, all at up to %d", all[n*99/100], all[n-1])
	}
}
