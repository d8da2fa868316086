// Command gen writes the AVX2 kernels of package pdq. Run it with go generate
// in the package's folder; it has a module of its own to keep what it needs out
// of the product's.
package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	addRows()
	widen()
	lumaGray()
	lumaPlanes()
	lumaPixels("lumaRGB", "three bytes a pixel", 3, false)
	lumaPixels("lumaRGBA", "four bytes a pixel", 4, true)
	upsample()
	planes()
	weigh()
	dct()
	quality()
	Generate()
}

// Luma is these parts of a pixel's channels, in thousandths; see package pdq.
const red, green, blue, white = 299, 587, 114, 1000

// words declares a constant of 16 words, a and b in turn.
func words(name string, a, b int16) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U16(uint16(a)))
		DATA(4*i+2, U16(uint16(b)))
	}
	return m
}

// dwords declares a constant of 8 doublewords, v repeated.
func dwords(name string, v ...int32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(v[i%len(v)])))
	}
	return m
}

func constant(m Mem) VecVirtual {
	v := YMM()
	VMOVDQU(m, v)
	return v
}

func addRows() {
	TEXT("addRowsAVX2", NOSPLIT, "func(acc *uint64, a, b *uint8, blocks int, weights uint32)")
	Pragma("noescape")
	Doc("addRowsAVX2 adds two rows of bytes, each times its weight, to 16-bit sums. A",
		"block is 32 bytes, and their sums are in the order 0-7, 16-23, 8-15, 24-31.",
		"The weights, that of a in the low byte, are together at most 128; blocks is",
		"not 0.")
	acc := Load(Param("acc"), GP64())
	a := Load(Param("a"), GP64())
	b := Load(Param("b"), GP64())
	blocks := Load(Param("blocks"), GP64())
	weights := YMM()
	VMOVD(Load(Param("weights"), GP32()), weights.AsX())
	VPBROADCASTW(weights.AsX(), weights)

	Label("next")
	va, vb, lo, hi := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: a}, va)
	VMOVDQU(Mem{Base: b}, vb)
	VPUNPCKLBW(vb, va, lo)
	VPUNPCKHBW(vb, va, hi)
	VPMADDUBSW(weights, lo, lo)
	VPMADDUBSW(weights, hi, hi)
	VPADDW(Mem{Base: acc}, lo, lo)
	VPADDW(Mem{Base: acc, Disp: 32}, hi, hi)
	VMOVDQU(lo, Mem{Base: acc})
	VMOVDQU(hi, Mem{Base: acc, Disp: 32})
	ADDQ(U8(32), a)
	ADDQ(U8(32), b)
	ADDQ(U8(64), acc)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func widen() {
	TEXT("widenAVX2", NOSPLIT, "func(sums *uint32, acc *uint64, blocks int)")
	Pragma("noescape")
	Doc("widenAVX2 adds the 16-bit sums of addRowsAVX2 to sums, in order, and clears",
		"them. blocks is not 0.")
	sums := Load(Param("sums"), GP64())
	acc := Load(Param("acc"), GP64())
	blocks := Load(Param("blocks"), GP64())
	zero := YMM()
	VPXOR(zero, zero, zero)

	Label("next")
	for i, at := range []int{0, 32, 16, 48} {
		v := YMM()
		to := Mem{Base: sums, Disp: 32 * i}
		VPMOVZXWD(Mem{Base: acc, Disp: at}, v)
		VPADDD(to, v, v)
		VMOVDQU(v, to)
	}
	VMOVDQU(zero, Mem{Base: acc})
	VMOVDQU(zero, Mem{Base: acc, Disp: 32})
	ADDQ(U32(128), sums)
	ADDQ(U8(64), acc)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func lumaGray() {
	TEXT("lumaGrayAVX2", NOSPLIT, "func(dst *int32, sums *uint32, blocks int)")
	Pragma("noescape")
	Doc("lumaGrayAVX2 makes luma of the sums of one byte a pixel, in blocks of 8.")
	dst := Load(Param("dst"), GP64())
	sums := Load(Param("sums"), GP64())
	blocks := Load(Param("blocks"), GP64())
	factor := constant(dwords("whiteFactor", white))

	Label("next")
	v := YMM()
	VPMULLD(Mem{Base: sums}, factor, v)
	VMOVDQU(v, Mem{Base: dst})
	ADDQ(U8(32), sums)
	ADDQ(U8(32), dst)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func lumaPlanes() {
	TEXT("lumaPlanesAVX2", NOSPLIT, "func(dst *int32, red, green, blue *uint32, blocks int)")
	Pragma("noescape")
	Doc("lumaPlanesAVX2 makes luma of the sums of three planes, in blocks of 8.")
	dst := Load(Param("dst"), GP64())
	var channels [3]Register
	var factors [3]VecVirtual
	for i, name := range []string{"red", "green", "blue"} {
		channels[i] = Load(Param(name), GP64())
		factors[i] = constant(dwords(name+"Part", []int32{red, green, blue}[i]))
	}
	blocks := Load(Param("blocks"), GP64())

	Label("next")
	var v [3]VecVirtual
	for i := range v {
		v[i] = YMM()
		VPMULLD(Mem{Base: channels[i]}, factors[i], v[i])
		ADDQ(U8(32), channels[i])
	}
	VPADDD(v[0], v[1], v[1])
	VPADDD(v[1], v[2], v[2])
	VMOVDQU(v[2], Mem{Base: dst})
	ADDQ(U8(32), dst)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// lumaPixels writes the kernel for channels that alternate.
func lumaPixels(name, what string, bytes int, alpha bool) {
	signature := "func(dst *int32, sums *uint32, blocks int)"
	doc := []string{name + "AVX2 makes luma of the sums of " + what + ", in blocks of 8. It reads on", "by one sum."}
	if alpha {
		signature = "func(dst *int32, sums *uint32, blocks int, opaque uint32) (transparent uint32)"
		doc = []string{
			name + "AVX2 makes luma of the sums of " + what + ", colours multiplied by alpha,",
			"on a white ground, in blocks of 8. It returns 0 if every pixel's alpha is opaque.",
		}
	}
	TEXT(name+"AVX2", NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc...)
	dst := Load(Param("dst"), GP64())
	sums := Load(Param("sums"), GP64())
	blocks := Load(Param("blocks"), GP64())
	var factor, opaque, ground, differ VecVirtual
	if alpha {
		factor = constant(dwords(name+"Factors", red, green, blue, -white))
		opaque, ground, differ = YMM(), YMM(), YMM()
		VMOVD(Load(Param("opaque"), GP32()), opaque.AsX())
		VPBROADCASTD(opaque.AsX(), opaque)
		VPMULLD(dwords("whiteFactor4", white), opaque, ground)
		VPXOR(differ, differ, differ)
	} else {
		factor = constant(dwords(name+"Factors", red, green, blue, 0))
	}

	Label("next")
	// Pixels 0 to 3 in the lower half, 4 to 7 in the upper.
	var v [4]VecVirtual
	for i := range v {
		v[i] = YMM()
		VMOVDQU(Mem{Base: sums, Disp: 4 * bytes * i}, v[i].AsX())
		VINSERTI128(U8(1), Mem{Base: sums, Disp: 4 * bytes * (i + 4)}, v[i], v[i])
		if alpha {
			x := YMM()
			VPXOR(opaque, v[i], x)
			VPOR(x, differ, differ)
		}
		VPMULLD(factor, v[i], v[i])
	}
	VPHADDD(v[1], v[0], v[0])
	VPHADDD(v[3], v[2], v[2])
	VPHADDD(v[2], v[0], v[0])
	if alpha {
		VPADDD(ground, v[0], v[0])
	}
	VMOVDQU(v[0], Mem{Base: dst})
	ADDQ(U32(uint32(4*8*bytes)), sums)
	ADDQ(U8(32), dst)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	if alpha {
		x := XMM()
		VEXTRACTI128(U8(1), differ, x)
		VPOR(x, differ.AsX(), x)
		result := GP32()
		VPEXTRD(U8(3), x, result)
		Store(result, ReturnIndex(0))
	}
	VZEROUPPER()
	RET()
}

func upsample() {
	TEXT("upsampleAVX2", NOSPLIT, "func(dst, near, far *uint8, blocks int, left, right uint32)")
	Pragma("noescape")
	Doc("upsampleAVX2 is func filter for one plane, in blocks of 32 samples, which become",
		"64 pixels. It reads a sample before and one after them. blocks is not 0.")
	dst := Load(Param("dst"), GP64())
	near := Load(Param("near"), GP64())
	far := Load(Param("far"), GP64())
	blocks := Load(Param("blocks"), GP64())
	var rounding [2]VecVirtual
	for i, name := range []string{"left", "right"} {
		rounding[i] = YMM()
		VMOVD(Load(Param(name), GP32()), rounding[i].AsX())
		VPBROADCASTW(rounding[i].AsX(), rounding[i])
	}
	// Of a sample and its neighbour: of the near row, of the far row.
	nearWeights := constant(words("nearWeights", 3<<8|9, 3<<8|9))
	farWeights := constant(words("farWeights", 1<<8|3, 1<<8|3))

	Label("next")
	n, f := YMM(), YMM()
	VMOVDQU(Mem{Base: near}, n)
	VMOVDQU(Mem{Base: far}, f)
	var out [2][2]VecVirtual // left and right pixels, of the first and second 8 samples of each half
	for side, offset := range []int{-1, 1} {
		n2, f2 := YMM(), YMM()
		VMOVDQU(Mem{Base: near, Disp: offset}, n2)
		VMOVDQU(Mem{Base: far, Disp: offset}, f2)
		for i := range 2 {
			a, b := YMM(), YMM()
			if i == 0 {
				VPUNPCKLBW(n2, n, a)
				VPUNPCKLBW(f2, f, b)
			} else {
				VPUNPCKHBW(n2, n, a)
				VPUNPCKHBW(f2, f, b)
			}
			VPMADDUBSW(nearWeights, a, a)
			VPMADDUBSW(farWeights, b, b)
			VPADDW(a, b, b)
			VPADDW(rounding[side], b, b)
			VPSRLW(U8(4), b, b)
			out[side][i] = b
		}
	}
	for i := range 2 {
		VPSLLW(U8(8), out[1][i], out[1][i])
		VPOR(out[0][i], out[1][i], out[1][i])
	}
	first, second := out[1][0], out[1][1]
	VMOVDQU(first.AsX(), Mem{Base: dst})
	VMOVDQU(second.AsX(), Mem{Base: dst, Disp: 16})
	VEXTRACTI128(U8(1), first, Mem{Base: dst, Disp: 32})
	VEXTRACTI128(U8(1), second, Mem{Base: dst, Disp: 48})
	ADDQ(U8(32), near)
	ADDQ(U8(32), far)
	ADDQ(U8(64), dst)
	DECQ(blocks)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// planes writes the kernel that converts a row from JFIF's colours.
func planes() {
	TEXT("ycbcrToPlanes", NOSPLIT, "func(red, green, blue, y, cb, cr *uint8, n int)")
	Pragma("noescape")
	Doc("ycbcrToPlanes converts n pixels as func rgb does; n is a multiple of 32 and not 0.")
	dst := [3]Register{
		Load(Param("red"), GP64()), Load(Param("green"), GP64()), Load(Param("blue"), GP64()),
	}
	y := Load(Param("y"), GP64())
	cb := Load(Param("cb"), GP64())
	cr := Load(Param("cr"), GP64())
	n := Load(Param("n"), GP64())

	// The factors of func chroma, less the whole numbers that bring them into
	// 16 bits: 1.402 = 1 + 26345/65536, 1.772 = 2 - 14942/65536,
	// -0.714136 = -1 + 18734/65536.
	mid := words("mid", 128, 128)
	one := words("one", 1, 1)
	redFactor := words("redFactor", 26345, 26345)
	blueFactor := words("blueFactor", -14942, -14942)
	greenFactors := words("greenFactors", -22554, 18734)
	half := dwords("half", 1<<15)
	midV, oneV, redV, blueV, greenV, halfV := constant(mid), constant(one), constant(redFactor),
		constant(blueFactor), constant(greenFactors), constant(half)

	// convert returns 16 pixels' red, green and blue, unclamped.
	convert := func(offset int) [3]VecVirtual {
		l, u, v := YMM(), YMM(), YMM()
		VPMOVZXBW(Mem{Base: y, Disp: offset}, l)
		VPMOVZXBW(Mem{Base: cb, Disp: offset}, u)
		VPMOVZXBW(Mem{Base: cr, Disp: offset}, v)
		VPSUBW(midV, u, u)
		VPSUBW(midV, v, v)

		// The high half of 2*c*factor, plus 1, halved: c*factor/65536 rounded.
		r, b, u2 := YMM(), YMM(), YMM()
		VPADDW(v, v, r)
		VPMULHW(redV, r, r)
		VPADDW(oneV, r, r)
		VPSRAW(U8(1), r, r)
		VPADDW(v, r, r)
		VPADDW(l, r, r)

		VPADDW(u, u, u2)
		VPMULHW(blueV, u2, b)
		VPADDW(oneV, b, b)
		VPSRAW(U8(1), b, b)
		VPADDW(u2, b, b)
		VPADDW(l, b, b)

		lo, hi := YMM(), YMM()
		VPUNPCKLWD(v, u, lo)
		VPUNPCKHWD(v, u, hi)
		VPMADDWD(greenV, lo, lo)
		VPMADDWD(greenV, hi, hi)
		VPADDD(halfV, lo, lo)
		VPADDD(halfV, hi, hi)
		VPSRAD(U8(16), lo, lo)
		VPSRAD(U8(16), hi, hi)
		VPACKSSDW(hi, lo, lo)
		VPSUBW(v, lo, lo)
		VPADDW(l, lo, lo)
		return [3]VecVirtual{r, lo, b}
	}

	Label("next")
	first := convert(0)
	second := convert(16)
	for i := range dst {
		VPACKUSWB(second[i], first[i], first[i])
		VPERMQ(U8(0b11_01_10_00), first[i], first[i])
		VMOVDQU(first[i], Mem{Base: dst[i]})
		ADDQ(U8(32), dst[i])
	}
	ADDQ(U8(32), y)
	ADDQ(U8(32), cb)
	ADDQ(U8(32), cr)
	SUBQ(U8(32), n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func weigh() {
	TEXT("weighAVX2", NOSPLIT, "func(sums *int64, row *int32, starts *int, n int, weights *int32, steps int)")
	Pragma("noescape")
	Doc("weighAVX2 adds to each of n sums 8*steps values of the row, from the start that",
		"starts has for it, times weights.")
	sums := Load(Param("sums"), GP64())
	row := Load(Param("row"), GP64())
	starts := Load(Param("starts"), GP64())
	n := Load(Param("n"), GP64())
	weights := Load(Param("weights"), GP64())
	steps := Load(Param("steps"), GP64())

	Label("next")
	p, w, k := GP64(), GP64(), GP64()
	MOVQ(Mem{Base: starts}, p)
	LEAQ(Mem{Base: row, Index: p, Scale: 4}, p)
	MOVQ(weights, w)
	MOVQ(steps, k)
	even, odd := YMM(), YMM()
	VPXOR(even, even, even)
	VPXOR(odd, odd, odd)
	Label("step")
	v, f := YMM(), YMM()
	v2, f2 := YMM(), YMM()
	VMOVDQU(Mem{Base: p}, v)
	VMOVDQU(Mem{Base: w}, f)
	VPSRLQ(U8(32), v, v2)
	VPSRLQ(U8(32), f, f2)
	VPMULDQ(f, v, v)
	VPMULDQ(f2, v2, v2)
	VPADDQ(v, even, even)
	VPADDQ(v2, odd, odd)
	ADDQ(U8(32), p)
	ADDQ(U8(32), w)
	DECQ(k)
	JNZ(LabelRef("step"))
	VPADDQ(odd, even, even)
	x := XMM()
	VEXTRACTI128(U8(1), even, x)
	VPADDQ(even.AsX(), x, x)
	y := XMM()
	VPSRLDQ(U8(8), x, y)
	VPADDQ(y, x, x)
	sum := GP64()
	VMOVQ(x, sum)
	ADDQ(sum, Mem{Base: sums})
	ADDQ(U8(8), sums)
	ADDQ(U8(8), starts)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// dct writes the transform of columns, four of them at a time, each with the
// operations of dct64to16 in the same order.
func dct() {
	TEXT("dctColumnsAVX2", NOSPLIT, "func(out, in, cosines, scratch *float64)")
	Pragma("noescape")
	Doc("dctColumnsAVX2 transforms the 64 columns of in, of 64 rows, to the 64 columns",
		"of out, of 16 rows. cosines is the table of that name; scratch has room for",
		"256 values.")
	out := Load(Param("out"), GP64())
	in := Load(Param("in"), GP64())
	cosines := Load(Param("cosines"), GP64())
	scratch := Load(Param("scratch"), GP64())
	columns := GP64()
	MOVQ(U32(16), columns)

	const row, lane = 64 * 8, 32
	const differences = 32 * lane // where they are in scratch; sums come first
	Label("next")
	step := 1
	for length := 64; step <= 16; length, step = length/2, step*2 {
		// Fold: from in the first time, then the sums onto themselves.
		half := length / 2
		for k := range half {
			a, b, d := YMM(), YMM(), YMM()
			if length == 64 {
				VMOVUPD(Mem{Base: in, Disp: row * k}, a)
				VMOVUPD(Mem{Base: in, Disp: row * (length - 1 - k)}, b)
			} else {
				VMOVUPD(Mem{Base: scratch, Disp: lane * k}, a)
				VMOVUPD(Mem{Base: scratch, Disp: lane * (length - 1 - k)}, b)
			}
			VSUBPD(b, a, d)
			VMOVUPD(d, Mem{Base: scratch, Disp: differences + lane*k})
			VADDPD(b, a, a)
			VMOVUPD(a, Mem{Base: scratch, Disp: lane * k})
		}
		var sums []VecVirtual
		for u := step - 1; u < 16; u += 2 * step {
			s := YMM()
			VXORPD(s, s, s)
			sums = append(sums, s)
		}
		d, c, k := GP64(), GP64(), GP64()
		LEAQ(Mem{Base: scratch, Disp: differences}, d)
		MOVQ(cosines, c)
		MOVQ(U32(uint32(half)), k)
		label := fmt.Sprintf("sum%d", half)
		Label(label)
		x := YMM()
		VMOVUPD(Mem{Base: d}, x)
		for i, s := range sums {
			f := YMM()
			VBROADCASTSD(Mem{Base: c, Disp: 32 * 8 * (step - 1 + 2*step*i)}, f)
			VMULPD(x, f, f)
			VADDPD(f, s, s)
		}
		ADDQ(U8(32), d)
		ADDQ(U8(8), c)
		DECQ(k)
		JNZ(LabelRef(label))
		for i, s := range sums {
			VMOVUPD(s, Mem{Base: out, Disp: row * (step - 1 + 2*step*i)})
		}
	}
	ADDQ(U8(32), in)
	ADDQ(U8(32), out)
	DECQ(columns)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func quality() {
	TEXT("stepsAVX2", NOSPLIT, "func(t *float32) int32")
	Pragma("noescape")
	Doc("stepsAVX2 is the sum of func step of all neighbours in t, of 64 by 64 values and",
		"one more.")
	t := Load(Param("t"), GP64())
	hundred, full := YMM(), YMM()
	VBROADCASTSS(float("hundred", 100), hundred)
	VBROADCASTSS(float("full", 255), full)
	allButLast := GLOBL("allButLast", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(i/7)-1))
	}
	sum := YMM()
	VPXOR(sum, sum, sum)
	rows := GP64()
	MOVQ(U32(64), rows)

	add := func(x VecVirtual, neighbour Mem, mask bool) {
		d := YMM()
		VSUBPS(neighbour, x, d)
		VMULPS(hundred, d, d)
		VDIVPS(full, d, d)
		VCVTTPS2DQ(d, d)
		VPABSD(d, d)
		if mask {
			VPAND(allButLast, d, d)
		}
		VPADDD(d, sum, sum)
	}
	Label("row")
	for k := range 8 {
		x := YMM()
		VMOVUPS(Mem{Base: t, Disp: 32 * k}, x)
		add(x, Mem{Base: t, Disp: 32*k + 4}, k == 7)
	}
	CMPQ(rows, U32(1))
	JE(LabelRef("done"))
	for k := range 8 {
		x := YMM()
		VMOVUPS(Mem{Base: t, Disp: 32 * k}, x)
		add(x, Mem{Base: t, Disp: 32*k + 256}, false)
	}
	ADDQ(U32(256), t)
	DECQ(rows)
	JMP(LabelRef("row"))

	Label("done")
	x := XMM()
	VEXTRACTI128(U8(1), sum, x)
	VPADDD(sum.AsX(), x, x)
	VPHADDD(x, x, x)
	VPHADDD(x, x, x)
	result := GP32()
	VMOVD(x, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func float(name string, v float32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(math.Float32bits(v)))
	return m
}
