package index

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkFilter is here for the frames in cache.
func BenchmarkFilter(b *testing.B) {
	near := make([][frameLen]uint16, 1<<10)
	var items [searchItems + filterAhead]item
	for i := range items {
		items[i] = item{frame: uint32(i), mask: ^uint32(0), limit: 0, near: 1}
	}
	for b.Loop() {
		its := items
		filter(near, &its, searchItems)
	}
	_ = rand.Int
}
