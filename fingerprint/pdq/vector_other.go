//go:build !amd64 || purego

package pdq

// Where there is no vector code, columns takes no YCbCr.
type planes struct{}

func (*planes) open(*source) int { return 0 }

func (*planes) row(*source, int) []uint8 { return nil }

func (c *columns) add(a, b []uint8, weightA, weightB int32) { c.addPortable(a, b, weightA, weightB) }

func (c *columns) widen() { c.widenPortable() }

func (c *columns) luma(s *source, dst []int32, opaque uint32) (transparent bool) {
	return c.lumaPortable(s, dst, opaque)
}

func (h *Hasher) weighFast(row []int32, sums *[side + 1]int64) { h.weigh(0, row, 1, sums) }

func dctColumns(*[frequencies][side]float64, *thumbnail) bool { return false }

func steps(t *[side*side + 1]float32) int32 { return stepsPortable(t) }
