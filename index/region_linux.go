//go:build linux && (amd64 || arm64)

package index

import "syscall"

// memMap reserves n bytes of zeros outside of the heap, or returns nil.
func memMap(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // slower without, no more
	return b
}

// memDiscard gives back the memory of b, which reads as zeros from then on.
func memDiscard(b []byte) { _ = syscall.Madvise(b, syscall.MADV_DONTNEED) }

// memUnmap ends what memMap began.
func memUnmap(b []byte) { _ = syscall.Munmap(b) }
