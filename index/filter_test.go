package index

import (
	"testing"

	"pgregory.net/rapid"
)

// TestFilterIsFilterGo compares the version that this processor gets with the
// plain one, on runs of every length and with so many elements that pass that
// the items are full.
func TestFilterIsFilterGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const frames = 64
		near := make([][frameLen]uint16, frames)
		seed := rapid.Uint32().Draw(t, "seed")
		for i := range near {
			for j := range near[i] {
				seed = seed*1664525 + 1013904223
				near[i][j] = uint16(seed >> 16)
			}
		}
		var runs [searchRuns]run
		lists := make([][nodeLen]uint32, rapid.IntRange(1, 40).Draw(t, "runs"))
		for i := range lists {
			for j := range lists[i] {
				lists[i][j] = rapid.Uint32Range(0, frames-1).Draw(t, "frame")
			}
			runs[i] = run{
				frames: &lists[i][0],
				first:  rapid.Uint32().Draw(t, "first"),
				last:   rapid.Uint32().Draw(t, "last"),
				near:   rapid.Uint16().Draw(t, "near"),
				limit:  rapid.Uint8Range(0, 16).Draw(t, "limit"),
				table:  uint8(i % nTables),
				n:      rapid.Uint8Range(1, nodeLen).Draw(t, "n"),
			}
		}
		n, total := len(lists), 0
		for from := 0; from < n; {
			var got, want [searchItems]item
			done, kept := filter(near, &runs, from, n, &got)
			if done <= from {
				t.Fatalf("no run done of those from %d", from)
			}
			wantDone, wantKept := filterGo(near, runs[from:done], &want)
			if from+wantDone != done || kept != wantKept {
				t.Fatalf("runs %d to %d kept %d, want %d to %d kept %d", from, done, kept, from, from+wantDone, wantKept)
			}
			for i := range got[:kept] {
				if got[i] != want[i] {
					t.Fatalf("item %d is %+v, want %+v", i, got[i], want[i])
				}
			}
			from, total = done, total+kept
		}
		// And the plain one with what it is meant to do.
		for i := range runs[:n] {
			r := &runs[i]
			for k := range int(r.n) {
				mask := uint32(0)
				for j, w := range near[lists[i][k]] {
					d := distance(&[4]uint64{uint64(w)}, &[4]uint64{uint64(r.near)})
					in := (k > 0 || r.first>>j&1 != 0) && (k < int(r.n)-1 || r.last>>j&1 != 0)
					if in && d <= int(r.limit) {
						mask |= 1 << j
					}
				}
				if mask != 0 {
					total--
				}
			}
		}
		if total != 0 {
			t.Fatalf("%d items too many", total)
		}
	})
}
