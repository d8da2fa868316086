//go:build !amd64 || purego

package index

// filter is filterGo for runs[from:to].
func filter(near [][frameLen]uint16, runs *[searchRuns]run, from, to int, items *[searchItems]item) (done, kept int) {
	done, kept = filterGo(near, runs[from:to], items)
	return from + done, kept
}
