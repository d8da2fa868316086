//go:build !purego

package index

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// filterAhead is how many items past the last one the vector versions read,
// though they use nothing of them.
const filterAhead = 24

var (
	useAVX512 = cpu.X86.HasAVX512BW && cpu.X86.HasAVX512BITALG
	useAVX2   = cpu.X86.HasAVX2
)

// filter is filterGo for items[:n], of which filterAhead more must exist.
func filter(near [][frameLen]uint16, items *[searchItems + filterAhead]item, n int) int {
	if n == 0 {
		return 0
	}
	first := unsafe.SliceData(near)
	switch {
	case useAVX512:
		return filterAVX512(first, &items[0], n) / int(unsafe.Sizeof(item{}))
	case useAVX2:
		return filterAVX2(first, &items[0], n) / int(unsafe.Sizeof(item{}))
	}
	return filterGo(near, items[:n])
}

// The vector versions of filterGo return the size in bytes of the items kept,
// and start reading a frame well before it is looked at. They do not check
// that frames are in near.

//go:noescape
func filterAVX512(near *[frameLen]uint16, items *item, n int) int

//go:noescape
func filterAVX2(near *[frameLen]uint16, items *item, n int) int
