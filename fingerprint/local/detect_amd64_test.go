//go:build !purego

package local

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestVectors compares the vector code with the plain one: every width from the
// least on, random and extreme rows.
func TestVectors(t *testing.T) {
	if !useAVX2 {
		t.Log("this processor has no AVX2: the plain code is in use and nothing to compare")
		return
	}
	r := rand.New(rand.NewPCG(5, 12)) //nolint:gosec // data of a fixed seed
	for w := leastRow; w < leastRow+300; w++ {
		row := make([]byte, w)
		var in [5][]int16
		for i := range in {
			in[i] = make([]int16, w)
			for x := range in[i] {
				if in[i][x] = int16(r.IntN(4081)); w%3 == 0 { //nolint:gosec // small
					in[i][x] = int16(4080 * r.IntN(2)) //nolint:gosec // small
				}
			}
		}
		for x := range row {
			if row[x] = byte(r.IntN(256)); w%3 == 0 { //nolint:gosec // a byte
				row[x] = byte(255 * r.IntN(2)) //nolint:gosec // a byte
			}
		}
		want, got := make([]int16, w), make([]int16, w)
		smoothLevelGo(want, row)
		smoothLevelAVX2(&got[2], &row[0], w-4)
		if !slices.Equal(want, got) {
			t.Fatalf("smoothing a row of %d: got %v, want %v", w, got, want)
		}
		smoothUprightGo(want, in[0], in[1], in[2], in[3], in[4])
		smoothUprightAVX2(&got[0], &in[0][0], &in[1][0], &in[2][0], &in[3][0], &in[4][0], w)
		if !slices.Equal(want, got) {
			t.Fatalf("smoothing across rows of %d: got %v, want %v", w, got, want)
		}
		wantR, gotR := make([]int32, w), make([]int32, w)
		hessianGo(wantR, in[0], in[1], in[2])
		hessianAVX2(&gotR[2], &in[0][0], &in[1][0], &in[2][0], w-4)
		if !slices.Equal(wantR, gotR) {
			t.Fatalf("responses of a row of %d: got %v, want %v", w, gotR, wantR)
		}
	}
}
