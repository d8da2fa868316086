package pdq

import (
	"fmt"
	"image"
	"math"
	"testing"
)

// This file transcribes the reference (facebook/ThreatExchange, pdq/cpp) line
// by line, in 32 bits as it is and in 64 bits as it is meant. It is the oracle
// of the property tests: slow and literal.

type float interface{ ~float32 | ~float64 }

type referenceResult[F float] struct {
	thumbnail [side][side]F
	spectrum  [frequencies][frequencies]F
	hash      Hash
	quality   int
}

// reference hashes luma of numRows by numCols, which it overwrites.
func reference[F float](luma []F, numRows, numCols int) (r referenceResult[F]) {
	if numRows < 5 || numCols < 5 {
		return r
	}
	other := make([]F, len(luma))
	alongRows := (numCols + 127) / 128
	alongCols := (numRows + 127) / 128
	for range 2 {
		for i := range numRows {
			box(luma[i*numCols:], other[i*numCols:], numCols, 1, alongRows)
		}
		for j := range numCols {
			box(other[j:], luma[j:], numRows, numCols, alongCols)
		}
	}
	for i := range side {
		ini := int((float64(i) + 0.5) * float64(numRows) / 64)
		for j := range side {
			inj := int((float64(j) + 0.5) * float64(numCols) / 64)
			r.thumbnail[i][j] = luma[ini*numCols+inj]
		}
	}

	gradients := 0
	step := func(u, v F) {
		d := int((u - v) * 100 / 255)
		gradients += max(d, -d)
	}
	for i := range 63 {
		for j := range 64 {
			step(r.thumbnail[i][j], r.thumbnail[i+1][j])
		}
	}
	for i := range 64 {
		for j := range 63 {
			step(r.thumbnail[i][j], r.thumbnail[i][j+1])
		}
	}
	r.quality = min(gradients/90, 100)

	var matrix [16][64]F
	for i := range matrix {
		for j := range matrix[i] {
			matrix[i][j] = F(float32(float64(float32(math.Sqrt(2.0/64))) *
				math.Cos(math.Pi/2/64*float64(i+1)*float64(2*j+1))))
		}
	}
	var half [16][64]F
	for i := range 16 {
		for j := range 64 {
			var sum F
			for k := range 64 {
				sum += F(matrix[i][k] * r.thumbnail[k][j])
			}
			half[i][j] = sum
		}
	}
	for i := range 16 {
		for j := range 16 {
			var sum F
			for k := range 64 {
				sum += F(half[i][k] * matrix[j][k])
			}
			r.spectrum[i][j] = sum
		}
	}

	median := torben(r.spectrum)
	for i := range 16 {
		for j := range 16 {
			if r.spectrum[i][j] > median {
				bit := 16*i + j
				r.hash[31-bit/8] |= 1 << (bit % 8)
			}
		}
	}
	return r
}

// box is box1DFloat.
func box[F float](in, out []F, length, stride, window int) {
	half := (window + 2) / 2
	var sum F
	size, li, ri, oi := 0, 0, 0, 0
	for range half - 1 {
		sum += in[ri]
		size++
		ri += stride
	}
	for range window - half + 1 {
		sum += in[ri]
		size++
		out[oi] = sum / F(size)
		ri += stride
		oi += stride
	}
	for range length - window {
		sum += in[ri]
		sum -= in[li]
		out[oi] = sum / F(size)
		li += stride
		ri += stride
		oi += stride
	}
	for range half - 1 {
		sum -= in[li]
		size--
		out[oi] = sum / F(size)
		li += stride
		oi += stride
	}
}

// torben is the reference's search for the median.
func torben[F float](s [frequencies][frequencies]F) F {
	var m []F
	for i := range s {
		m = append(m, s[i][:]...)
	}
	n := len(m)
	low, high := m[0], m[0]
	for _, x := range m {
		low, high = min(low, x), max(high, x)
	}
	for {
		guess := (low + high) / 2
		less, greater, equal := 0, 0, 0
		maxLess, minGreater := low, high
		for _, x := range m {
			switch {
			case x < guess:
				less++
				maxLess = max(maxLess, x)
			case x > guess:
				greater++
				minGreater = min(minGreater, x)
			default:
				equal++
			}
		}
		switch {
		case less <= (n+1)/2 && greater <= (n+1)/2:
			switch {
			case less >= (n+1)/2:
				return maxLess
			case less+equal >= (n+1)/2:
				return guess
			default:
				return minGreater
			}
		case less > greater:
			high = maxLess
		default:
			low = minGreater
		}
	}
}

// BenchmarkReference is the literal transcription, to compare BenchmarkHash
// with where there is no C++ compiler.
func BenchmarkReference(b *testing.B) {
	for _, size := range []image.Point{{640, 427}, {1600, 1004}, {4000, 3000}} {
		b.Run(fmt.Sprintf("size=%dx%d", size.X, size.Y), func(b *testing.B) {
			luma := make([]float32, size.X*size.Y)
			for i := range luma {
				luma[i] = float32(i % 251)
			}
			for b.Loop() {
				reference(luma, size.Y, size.X)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.X*size.Y), "ns/pixel")
		})
	}
}
