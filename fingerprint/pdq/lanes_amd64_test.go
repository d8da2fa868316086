//go:build amd64 && !purego

package pdq

// convertRow returns the planes of a YCbCr picture's row, or nil.
func (h *Hasher) convertRow(y int) *[3][]uint8 {
	if !useAVX2 {
		return nil
	}
	h.lanes.convert(&h.src, y)
	return &h.lanes.planes
}
