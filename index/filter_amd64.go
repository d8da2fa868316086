//go:build !purego

package index

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var (
	useAVX512 = cpu.X86.HasAVX512BW && cpu.X86.HasAVX512BITALG
	useAVX2   = cpu.X86.HasAVX2
)

// filter is filterGo for runs[from:to].
func filter(near [][frameLen]uint16, runs *[searchRuns]run, from, to int, items *[searchItems]item) (done, kept int) {
	if useAVX512 {
		done, kept = filterAVX512(unsafe.SliceData(near), &runs[from], to-from, items)
	} else if useAVX2 {
		done, kept = filterAVX2(unsafe.SliceData(near), &runs[from], to-from, items)
	} else {
		done, kept = filterGo(near, runs[from:to], items)
	}
	return from + done, kept
}

// The vector versions of filterGo want n > 0 and do not check that frames are
// in near.

//go:noescape
func filterAVX512(near *[frameLen]uint16, runs *run, n int, items *[searchItems]item) (done, kept int)

//go:noescape
func filterAVX2(near *[frameLen]uint16, runs *run, n int, items *[searchItems]item) (done, kept int)
