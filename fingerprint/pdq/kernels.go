package pdq

import "encoding/binary"

// The kernels of columns in portable Go. They take 8 bytes at a time, in two
// halves of four 16-bit sums: the even and the odd bytes.
const evenBytes = 0x00ff00ff00ff00ff

// addRows adds two rows of bytes, each times its weight, to acc, which has two
// elements for 8 bytes.
func addRows(acc []uint64, a, b []uint8, weightA, weightB uint64) {
	b = b[:len(a)]
	for len(a) >= 8 && len(b) >= 8 && len(acc) >= 2 {
		x, y := binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b)
		acc[0] += x&evenBytes*weightA + y&evenBytes*weightB
		acc[1] += x>>8&evenBytes*weightA + y>>8&evenBytes*weightB
		a, b, acc = a[8:], b[8:], acc[2:]
	}
	for i := range a {
		acc[i&1] += (uint64(a[i])*weightA + uint64(b[i])*weightB) << (i / 2 * 16)
	}
}

// widen adds the 16-bit sums of addRows to sums, in order, and clears them.
func widen(sums []uint32, acc []uint64) {
	for len(sums) >= 8 && len(acc) >= 2 {
		even, odd := acc[0], acc[1]
		acc[0], acc[1] = 0, 0
		sums[0] += uint32(even & 0xffff)
		sums[1] += uint32(odd & 0xffff)
		sums[2] += uint32(even >> 16 & 0xffff)
		sums[3] += uint32(odd >> 16 & 0xffff)
		sums[4] += uint32(even >> 32 & 0xffff)
		sums[5] += uint32(odd >> 32 & 0xffff)
		sums[6] += uint32(even >> 48)
		sums[7] += uint32(odd >> 48)
		sums, acc = sums[8:], acc[2:]
	}
}

func lumaGray(dst []int32, sums []uint32) {
	sums = sums[:len(dst)]
	for x := range dst {
		dst[x] = white * int32(sums[x])
	}
}

func lumaRGB(dst []int32, sums []uint32) {
	for x := range dst {
		p := sums[:3:3]
		dst[x] = red*int32(p[0]) + green*int32(p[1]) + blue*int32(p[2])
		sums = sums[3:]
	}
}

// lumaRGBA takes colours multiplied by alpha, on a white ground. It reports
// whether the alpha of any pixel is not opaque.
func lumaRGBA(dst []int32, sums []uint32, opaque uint32) (transparent bool) {
	for x := range dst {
		p := sums[:4:4]
		dst[x] = red*int32(p[0]) + green*int32(p[1]) + blue*int32(p[2]) + white*int32(opaque-p[3])
		transparent = transparent || p[3] != opaque
		sums = sums[4:]
	}
	return transparent
}

// addPortable, widenPortable and lumaPortable are columns' steps by these
// kernels.
func (c *columns) addPortable(a, b []uint8, weightA, weightB int32) {
	addRows(c.acc, a, b, uint64(weightA), uint64(weightB))
}

func (c *columns) widenPortable() {
	widen(c.sums, c.acc[:(c.bytes+7)/8*2])
}

func (c *columns) lumaPortable(s *source, dst []int32, opaque uint32) (transparent bool) {
	dst = dst[:s.w]
	switch s.kind {
	case kindGray:
		lumaGray(dst, c.sums)
	case kindRGB:
		lumaRGB(dst, c.sums)
	default:
		transparent = lumaRGBA(dst, c.sums, opaque)
	}
	return transparent
}
