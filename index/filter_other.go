//go:build !amd64 || purego

package index

const filterAhead = 0

// filter is filterGo.
func filter(near [][frameLen]uint16, items *[searchItems + filterAhead]item, n int) int {
	return filterGo(near, items[:n])
}
