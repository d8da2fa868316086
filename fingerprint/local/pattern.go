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
	{[4]uint8{11, 23, 0, 30}, -13}, {[4]uint8{4, 13, 2, 3}, -99}, {[4]uint8{30, 42, 5, 8}, 22}, {[4]uint8{9, 21, 29, 41}, 102},
	{[4]uint8{0, 13, 9, 28}, 7}, {[4]uint8{8, 24, 9, 22}, -27}, {[4]uint8{29, 40, 24, 42}, -50}, {[4]uint8{8, 15, 33, 34}, -57},
	{[4]uint8{26, 32, 1, 2}, -68}, {[4]uint8{19, 32, 29, 33}, 56}, {[4]uint8{14, 21, 8, 42}, -48}, {[4]uint8{19, 41, 2, 7}, -24},
	{[4]uint8{11, 19, 1, 10}, -9}, {[4]uint8{8, 42, 0, 18}, -20}, {[4]uint8{4, 43, 11, 12}, -6}, {[4]uint8{26, 33, 11, 16}, 7},
	{[4]uint8{13, 19, 37, 37}, 53}, {[4]uint8{19, 26, 6, 24}, 27}, {[4]uint8{0, 39, 29, 41}, 66}, {[4]uint8{5, 12, 2, 32}, -107},
	{[4]uint8{11, 15, 22, 29}, -17}, {[4]uint8{8, 28, 1, 32}, -64}, {[4]uint8{5, 43, 9, 41}, -30}, {[4]uint8{8, 13, 11, 28}, 7},
	{[4]uint8{8, 25, 0, 35}, -55}, {[4]uint8{36, 38, 0, 42}, -104}, {[4]uint8{2, 38, 4, 23}, 10}, {[4]uint8{7, 44, 1, 30}, -1},
	{[4]uint8{16, 17, 1, 42}, -92}, {[4]uint8{8, 34, 27, 32}, 58}, {[4]uint8{5, 6, 8, 41}, -77}, {[4]uint8{27, 34, 12, 29}, 31},
	{[4]uint8{8, 39, 5, 25}, 64}, {[4]uint8{2, 6, 12, 20}, -15}, {[4]uint8{1, 32, 13, 23}, 71}, {[4]uint8{1, 9, 17, 32}, 57},
	{[4]uint8{1, 11, 5, 42}, 75}, {[4]uint8{3, 32, 15, 23}, 49}, {[4]uint8{28, 42, 4, 7}, 3}, {[4]uint8{12, 23, 9, 36}, -10},
	{[4]uint8{10, 29, 4, 34}, 8}, {[4]uint8{11, 27, 30, 41}, 3}, {[4]uint8{0, 34, 2, 14}, 71}, {[4]uint8{1, 6, 23, 29}, 6},
	{[4]uint8{15, 42, 8, 41}, -36}, {[4]uint8{37, 42, 6, 44}, -3}, {[4]uint8{10, 32, 14, 35}, 74}, {[4]uint8{14, 18, 23, 41}, -19},
	{[4]uint8{24, 28, 2, 30}, -59}, {[4]uint8{19, 28, 14, 15}, 68}, {[4]uint8{15, 22, 2, 16}, -2}, {[4]uint8{10, 38, 8, 21}, -60},
	{[4]uint8{8, 20, 6, 10}, 67}, {[4]uint8{6, 34, 9, 21}, -68}, {[4]uint8{34, 37, 21, 24}, -29}, {[4]uint8{10, 24, 3, 37}, 43},
	{[4]uint8{22, 40, 31, 37}, 3}, {[4]uint8{18, 40, 5, 42}, 13}, {[4]uint8{7, 37, 16, 34}, -6}, {[4]uint8{23, 39, 5, 24}, 26},
	{[4]uint8{9, 16, 2, 44}, -58}, {[4]uint8{21, 24, 13, 17}, 77}, {[4]uint8{28, 31, 25, 34}, -4}, {[4]uint8{28, 34, 10, 25}, -7},
	{[4]uint8{3, 10, 30, 33}, 9}, {[4]uint8{9, 42, 18, 19}, 0}, {[4]uint8{5, 40, 16, 17}, -7}, {[4]uint8{2, 21, 19, 34}, 2},
	{[4]uint8{20, 40, 0, 44}, -64}, {[4]uint8{14, 29, 1, 36}, -75}, {[4]uint8{9, 31, 38, 43}, 60}, {[4]uint8{3, 34, 10, 44}, -21},
	{[4]uint8{7, 33, 10, 20}, -26}, {[4]uint8{13, 30, 0, 42}, -88}, {[4]uint8{6, 42, 19, 35}, -59}, {[4]uint8{2, 24, 13, 18}, 45},
	{[4]uint8{9, 14, 2, 28}, 0}, {[4]uint8{8, 23, 9, 24}, 14}, {[4]uint8{1, 39, 8, 25}, 0}, {[4]uint8{19, 28, 11, 38}, 7},
	{[4]uint8{0, 23, 7, 39}, 85}, {[4]uint8{36, 43, 24, 33}, -16}, {[4]uint8{13, 32, 10, 25}, -4}, {[4]uint8{16, 19, 5, 31}, 6},
	{[4]uint8{20, 36, 13, 26}, 75}, {[4]uint8{2, 10, 1, 31}, 0}, {[4]uint8{40, 42, 25, 31}, -5}, {[4]uint8{25, 32, 16, 21}, 2},
	{[4]uint8{15, 31, 8, 44}, -69}, {[4]uint8{23, 32, 3, 19}, 10}, {[4]uint8{26, 34, 13, 35}, 9}, {[4]uint8{5, 8, 7, 13}, 16},
	{[4]uint8{2, 14, 8, 37}, -4}, {[4]uint8{23, 38, 17, 20}, -22}, {[4]uint8{15, 44, 9, 43}, -66}, {[4]uint8{4, 27, 8, 37}, -66},
	{[4]uint8{5, 20, 16, 44}, 1}, {[4]uint8{12, 19, 3, 27}, 32}, {[4]uint8{2, 35, 7, 24}, 32}, {[4]uint8{31, 38, 18, 36}, -4},
	{[4]uint8{2, 17, 5, 11}, 28}, {[4]uint8{4, 42, 15, 30}, 13}, {[4]uint8{1, 6, 8, 15}, 6}, {[4]uint8{11, 28, 17, 35}, -5},
	{[4]uint8{1, 16, 6, 9}, 0}, {[4]uint8{17, 39, 6, 15}, 14}, {[4]uint8{23, 31, 21, 35}, 0}, {[4]uint8{1, 17, 3, 40}, 34},
	{[4]uint8{34, 36, 26, 35}, 22}, {[4]uint8{14, 19, 20, 27}, -3}, {[4]uint8{1, 3, 4, 18}, 56}, {[4]uint8{20, 39, 22, 40}, 1},
	{[4]uint8{35, 44, 21, 23}, -6}, {[4]uint8{23, 26, 22, 38}, -5}, {[4]uint8{4, 39, 1, 29}, -68}, {[4]uint8{17, 43, 20, 24}, -27},
	{[4]uint8{15, 22, 29, 34}, -1}, {[4]uint8{17, 39, 25, 41}, 0}, {[4]uint8{11, 20, 1, 42}, 0}, {[4]uint8{14, 22, 27, 43}, 0},
	{[4]uint8{11, 21, 2, 23}, -1}, {[4]uint8{12, 27, 14, 24}, -10}, {[4]uint8{16, 29, 27, 41}, -4}, {[4]uint8{19, 40, 8, 29}, -1},
	{[4]uint8{3, 32, 17, 31}, 30}, {[4]uint8{22, 40, 34, 38}, 3}, {[4]uint8{4, 28, 26, 29}, 0}, {[4]uint8{16, 34, 12, 22}, -16},
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
