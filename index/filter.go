package index

import "unsafe"

// filterGo compares the elements of runs with the runs' near words and writes
// those that pass to items, until the next run may have more than there is room
// for. It returns the number of runs done and of items written. It is what the
// vector versions are compared with.
func filterGo(near [][frameLen]uint16, runs []run, items *[searchItems]item) (done, kept int) {
	const (
		ones = 0x0001000100010001
		top  = 0x8000800080008000
	)
	for i := range runs {
		r := &runs[i]
		if kept+int(r.n) > len(items) {
			return i, kept
		}
		word, limit := uint64(r.near)*ones, (0x7fff-uint64(r.limit))*ones
		mask := r.first
		frames := unsafe.Slice(r.frames, int(r.n))
		for k, frame := range frames {
			f := &near[frame]
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
			if k == len(frames)-1 {
				mask &= r.last
			}
			if mask &^= far; mask != 0 {
				items[kept] = item{frame, mask, uint32(r.table)}
				kept++
			}
			mask = ^uint32(0)
		}
	}
	return len(runs), kept
}
