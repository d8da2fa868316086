//go:build amd64 && !purego

package pdq

// convertRow returns the planes of a YCbCr picture's row, or nil.
func (h *Hasher) convertRow(y int) (r, g, b []uint8) {
	p := &h.columns.planes
	if h.columns.bytes == 0 {
		return nil, nil, nil
	}
	p.y = [2]int{-1, -1}
	row := p.row(&h.src, y)
	return row[:p.length], row[p.length:], row[2*p.length:]
}

// portable runs f without vector code.
func portable(f func()) {
	was := useAVX2
	useAVX2 = false
	defer func() { useAVX2 = was }()
	f()
}
