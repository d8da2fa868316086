//go:build !purego

package local

import "golang.org/x/sys/cpu"

// useAVX2 is set at start and changed by tests only.
var useAVX2 = cpu.X86.HasAVX2

// leastRow is the shortest row that the vector code takes: it computes sixteen
// values at once, the last ones of a row maybe twice.
const leastRow = 20

// smoothLevel is smoothLevelGo.
func smoothLevel(out []int16, row []byte) {
	if w := len(out); useAVX2 && w >= leastRow {
		smoothLevelAVX2(&out[2], &row[:w][0], w-4)
		return
	}
	smoothLevelGo(out, row)
}

// smoothUpright is smoothUprightGo.
func smoothUpright(out, a, b, c, d, e []int16) {
	if w := len(out); useAVX2 && w >= leastRow {
		smoothUprightAVX2(&out[0], &a[:w][0], &b[:w][0], &c[:w][0], &d[:w][0], &e[:w][0], w)
		return
	}
	smoothUprightGo(out, a, b, c, d, e)
}

// hessian is hessianGo.
func hessian(out []int32, a, c, e []int16) {
	if w := len(out); useAVX2 && w >= leastRow {
		hessianAVX2(&out[2], &a[:w][0], &c[:w][0], &e[:w][0], w-4)
		return
	}
	hessianGo(out, a, c, e)
}

// The vector versions compute n values, at least 16.

//go:noescape
func smoothLevelAVX2(out *int16, row *byte, n int)

//go:noescape
func smoothUprightAVX2(out, a, b, c, d, e *int16, n int)

//go:noescape
func hessianAVX2(out *int32, a, c, e *int16, n int)
