package local

// test is one comparison of a descriptor: whether fields f[0] and f[1]
// together are brighter than f[2] and f[3] by more than t.
type test struct {
	f [4]uint8
	t int8 // in 1/32 of the fields' spread
}

// orbits are the tests with even numbers; test 2k+1 is test 2k mirrored, so a
// mirrored picture swaps neighbouring bits.
//
// They were chosen among 20,000 tests of chance on pairs of keypoints of
// photographs and of the same photographs warped, blurred, re-encoded and
// relit: each threshold is the median, so a bit is set half of the time; then,
// from the test whose bit changed least often between the two, each next one
// that is not correlated with those before it (the greedy search of ORB's
// rBRIEF; thresholds as in BEBLID and BAD).
var orbits = [128]test{
	{[4]uint8{0, 8, 31, 42}, 50}, {[4]uint8{2, 22, 25, 26}, 107}, {[4]uint8{0, 7, 8, 19}, -5}, {[4]uint8{13, 20, 10, 11}, -42},
	{[4]uint8{29, 32, 7, 8}, -33}, {[4]uint8{29, 30, 5, 6}, 36}, {[4]uint8{0, 41, 7, 28}, 57}, {[4]uint8{8, 41, 32, 43}, -33},
	{[4]uint8{18, 30, 32, 44}, -33}, {[4]uint8{24, 24, 27, 27}, 39}, {[4]uint8{8, 19, 30, 35}, 41}, {[4]uint8{28, 39, 0, 25}, -77},
	{[4]uint8{2, 28, 4, 31}, 11}, {[4]uint8{1, 8, 23, 26}, 71}, {[4]uint8{28, 42, 21, 22}, -68}, {[4]uint8{16, 17, 1, 14}, -55},
	{[4]uint8{25, 37, 0, 35}, -107}, {[4]uint8{0, 32, 2, 17}, 63}, {[4]uint8{16, 24, 2, 31}, -80}, {[4]uint8{20, 37, 5, 31}, 23},
	{[4]uint8{1, 13, 34, 41}, 0}, {[4]uint8{15, 21, 8, 25}, -6}, {[4]uint8{4, 7, 35, 40}, -10}, {[4]uint8{0, 42, 15, 20}, 59},
	{[4]uint8{1, 23, 4, 32}, 62}, {[4]uint8{2, 37, 5, 25}, 68}, {[4]uint8{9, 23, 24, 29}, 77}, {[4]uint8{19, 25, 1, 42}, -43},
	{[4]uint8{24, 41, 0, 18}, -83}, {[4]uint8{5, 17, 27, 31}, -45}, {[4]uint8{18, 19, 33, 42}, 5}, {[4]uint8{13, 43, 9, 10}, -70},
	{[4]uint8{23, 41, 2, 22}, -51}, {[4]uint8{2, 43, 27, 34}, 57}, {[4]uint8{6, 17, 2, 35}, -84}, {[4]uint8{21, 36, 23, 28}, 18},
	{[4]uint8{5, 10, 1, 20}, -73}, {[4]uint8{34, 35, 30, 31}, 11}, {[4]uint8{14, 33, 9, 18}, -58}, {[4]uint8{10, 16, 32, 37}, -5},
	{[4]uint8{18, 33, 5, 32}, 51}, {[4]uint8{4, 18, 21, 23}, -65}, {[4]uint8{8, 43, 1, 21}, -7}, {[4]uint8{28, 32, 5, 15}, 68},
	{[4]uint8{4, 44, 12, 16}, 44}, {[4]uint8{10, 29, 28, 28}, 60}, {[4]uint8{2, 6, 13, 19}, 2}, {[4]uint8{21, 39, 14, 41}, 53},
	{[4]uint8{2, 38, 29, 44}, 4}, {[4]uint8{20, 42, 5, 33}, 56}, {[4]uint8{1, 19, 7, 33}, 29}, {[4]uint8{10, 31, 8, 44}, -2},
	{[4]uint8{6, 29, 14, 30}, -13}, {[4]uint8{17, 43, 13, 13}, 65}, {[4]uint8{9, 24, 3, 33}, 0}, {[4]uint8{19, 36, 6, 43}, 20},
	{[4]uint8{9, 15, 8, 41}, -10}, {[4]uint8{6, 20, 11, 13}, 15}, {[4]uint8{3, 25, 0, 43}, -86}, {[4]uint8{22, 39, 5, 44}, 11},
	{[4]uint8{5, 40, 37, 44}, -60}, {[4]uint8{39, 43, 13, 18}, 9}, {[4]uint8{2, 26, 20, 40}, -4}, {[4]uint8{2, 36, 0, 31}, -55},
	{[4]uint8{2, 20, 4, 7}, 85}, {[4]uint8{5, 23, 3, 35}, -29}, {[4]uint8{10, 39, 14, 15}, 69}, {[4]uint8{1, 37, 22, 36}, 1},
	{[4]uint8{7, 40, 20, 42}, -59}, {[4]uint8{1, 33, 7, 32}, 24}, {[4]uint8{2, 12, 26, 43}, 15}, {[4]uint8{4, 35, 1, 18}, -73},
	{[4]uint8{15, 39, 20, 25}, -68}, {[4]uint8{1, 40, 8, 27}, 5}, {[4]uint8{29, 37, 13, 15}, 8}, {[4]uint8{16, 23, 3, 21}, -48},
	{[4]uint8{5, 38, 1, 41}, -76}, {[4]uint8{9, 13, 1, 40}, -6}, {[4]uint8{0, 23, 5, 24}, 103}, {[4]uint8{19, 40, 7, 25}, 20},
	{[4]uint8{28, 42, 7, 38}, 0}, {[4]uint8{15, 19, 8, 31}, -56}, {[4]uint8{2, 36, 35, 39}, 27}, {[4]uint8{18, 39, 6, 42}, 10},
	{[4]uint8{12, 28, 20, 26}, -53}, {[4]uint8{27, 44, 22, 29}, -3}, {[4]uint8{22, 42, 32, 41}, 21}, {[4]uint8{11, 17, 6, 24}, 26},
	{[4]uint8{36, 43, 20, 35}, -34}, {[4]uint8{19, 34, 11, 14}, 66}, {[4]uint8{13, 32, 15, 31}, 5}, {[4]uint8{8, 34, 7, 12}, 61},
	{[4]uint8{2, 14, 11, 37}, 1}, {[4]uint8{20, 29, 22, 27}, 6}, {[4]uint8{9, 30, 13, 24}, 65}, {[4]uint8{19, 34, 21, 24}, 19},
	{[4]uint8{26, 44, 28, 34}, 1}, {[4]uint8{1, 35, 15, 24}, 80}, {[4]uint8{9, 15, 29, 33}, 0}, {[4]uint8{15, 16, 20, 41}, -78},
	{[4]uint8{15, 19, 13, 22}, 0}, {[4]uint8{17, 34, 7, 27}, 21}, {[4]uint8{27, 30, 31, 36}, -29}, {[4]uint8{4, 23, 8, 33}, -64},
	{[4]uint8{4, 19, 1, 43}, -61}, {[4]uint8{3, 20, 8, 14}, 44}, {[4]uint8{2, 35, 18, 33}, 0}, {[4]uint8{0, 7, 12, 15}, 107},
	{[4]uint8{8, 36, 17, 19}, 3}, {[4]uint8{40, 43, 30, 33}, -21}, {[4]uint8{0, 32, 13, 20}, 70}, {[4]uint8{20, 28, 29, 43}, 6},
	{[4]uint8{5, 6, 15, 16}, 1}, {[4]uint8{35, 41, 23, 30}, -20}, {[4]uint8{18, 25, 6, 24}, 21}, {[4]uint8{15, 18, 8, 12}, -25},
	{[4]uint8{13, 33, 20, 34}, -64}, {[4]uint8{15, 18, 2, 14}, -9}, {[4]uint8{3, 22, 4, 34}, 41}, {[4]uint8{4, 12, 7, 36}, -38},
	{[4]uint8{25, 43, 29, 31}, 0}, {[4]uint8{34, 38, 32, 40}, -3}, {[4]uint8{40, 44, 15, 43}, 9}, {[4]uint8{2, 14, 8, 39}, -4},
	{[4]uint8{10, 39, 19, 41}, -6}, {[4]uint8{20, 26, 8, 38}, 0}, {[4]uint8{10, 17, 6, 31}, 16}, {[4]uint8{20, 31, 1, 18}, 0},
}

var tests = makeTests()

func makeTests() (ts [256]test) {
	for k, o := range orbits {
		m := o
		for i := range m.f {
			m.f[i] = mirrorOf(m.f[i])
		}
		ts[2*k], ts[2*k+1] = o, m
	}
	return ts
}

// mirrorOf returns the field at the mirrored place.
func mirrorOf(i uint8) uint8 {
	at, k := 0, int(i)
	for _, r := range rings {
		if k < at+r.n {
			step := func(k int) int { return (r.shift + k*24/r.n) % 24 }
			for j := range r.n {
				if (step(k-at)+step(j))%24 == 0 {
					return uint8(at + j)
				}
			}
		}
		at += r.n
	}
	panic("local: a ring is not its own mirror image")
}
