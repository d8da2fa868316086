package local

// tests are the pairs of fields that a descriptor compares. Test 2k+1 is test
// 2k mirrored, so a mirrored picture swaps neighbouring bits.
var tests = makeTests()

func makeTests() (ts [256][2]uint8) {
	// xorshift64: the same on every machine.
	s := uint64(0x9E3779B97F4A7C15)
	next := func(n int) int {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		return int(s>>11) % n
	}
	seen := map[[2]uint8]bool{}
	for k := 0; k < 128; {
		i, j := uint8(next(fieldCount)), uint8(next(fieldCount))
		mi, mj := mirrorOf(i), mirrorOf(j)
		if i == j || mi == j || (mi == i && mj == j) || seen[[2]uint8{i, j}] || seen[[2]uint8{j, i}] {
			continue
		}
		for _, p := range [][2]uint8{{i, j}, {mi, mj}} {
			seen[p] = true
		}
		ts[2*k], ts[2*k+1] = [2]uint8{i, j}, [2]uint8{mi, mj}
		k++
	}
	return ts
}

// mirrorOf is mirrorF before init has run: the field at the mirrored place.
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
