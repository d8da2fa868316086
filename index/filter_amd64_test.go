//go:build !purego

package index

import "testing"

// TestFilterWithoutAVX512 is TestFilterIsFilterGo for the version of older
// processors, which a newer one has too but does not take by itself.
func TestFilterWithoutAVX512(t *testing.T) {
	if !useAVX512 {
		return // then TestFilterIsFilterGo is this test
	}
	useAVX512 = false
	defer func() { useAVX512 = true }()
	TestFilterIsFilterGo(t)
}
