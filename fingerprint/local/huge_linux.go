package local

import (
	"syscall"
	"unsafe"
)

// huge asks for large pages for the n bytes at p, which nothing was written to
// yet. The look-up reads anywhere in them, and with small pages it waits twice:
// for the page's address, and for what is there. That it may be refused makes
// it slower, no more.
func huge(p unsafe.Pointer, n int) {
	const page = 1 << 12
	skip := int(-uintptr(p) % page)
	if n < skip+1<<21 {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Add(p, skip)), (n-skip)/page*page)
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
}
