package index

import (
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
