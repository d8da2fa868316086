package index

// filterGo keeps, in items, those elements whose near word is at most limit
// bits from the query's, drops the items of which none is left, and returns
// the number of items. It is what the vector versions are compared with.
func filterGo(near [][frameLen]uint16, items []item) int {
	const (
		ones = 0x0001000100010001
		top  = 0x8000800080008000
	)
	n := 0
	for i := range items {
		it := items[i]
		word, limit := uint64(it.near)*ones, (0x7fff-uint64(it.limit))*ones
		f := &near[it.frame]
		far := uint32(0)
		for j := 0; j < frameLen; j += 4 {
			v := uint64(f[j]) | uint64(f[j+1])<<16 | uint64(f[j+2])<<32 | uint64(f[j+3])<<48
			v ^= word
			v -= v >> 1 & 0x5555555555555555
			v = v&0x3333333333333333 + v>>2&0x3333333333333333
			v = (v + v>>4) & 0x0f0f0f0f0f0f0f0f
			v = (v + v>>8) & 0x001f001f001f001f
			v = (v + limit) & top // the top bit of a count over the limit
			far |= uint32(v>>15&1|v>>30&2|v>>45&4|v>>60&8) << j
		}
		if it.mask &^= far; it.mask != 0 {
			items[n] = it
			n++
		}
	}
	return n
}
