// Command gen writes the AVX2 kernels of package pdq. Run it with go generate
// in the package's folder; it has a module of its own to keep what it needs out
// of the product's.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	ones := words("ones", 1, 1)

	dot("dotGray", "of one byte a pixel, 32 pixels a step", 32, ones, func(p Mem, v VecVirtual) {
		VMOVDQU(p, v)
	})
	group := shuffle("group", 0, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
	dot("dotRGBA", "of 4 bytes a pixel, 8 pixels a step", 32, ones, func(p Mem, v VecVirtual) {
		VMOVDQU(p, v)
		VPSHUFB(group, v, v)
	})
	// The upper lane is loaded from byte 8, not 12, so as not to read on.
	group3 := shuffle("group3", 4, 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 128, 128, 128, 128)
	dot("dotRGB", "of 3 bytes a pixel, 8 pixels a step", 24, ones, func(p Mem, v VecVirtual) {
		VMOVDQU(p, v.AsX())
		VINSERTI128(U8(1), p.Offset(8), v, v)
		VPSHUFB(group3, v, v)
	})

	upsample("upsample2x2", "width and height", 4, 8, 7)
	upsample("upsample2x1", "width", 2, 1, 2)
	planes()
	Generate()
}

// shuffle declares the constant that puts bytes of each half of a register in
// this order, those of the upper half further by upper; 128 and more is zero.
func shuffle(name string, upper byte, order ...byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 32 {
		DATA(i, U8(order[i%16]+byte(i/16)*upper))
	}
	return m
}

// words declares a constant of 16 words, a and b in turn.
func words(name string, a, b int16) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U16(uint16(a)))
		DATA(4*i+2, U16(uint16(b)))
	}
	return m
}

// dot writes a kernel that adds weighted sums of a row's pixels to acc. load
// puts a step's pixels into a register such that four neighbouring bytes are of
// one channel; bytes is how far a step goes.
func dot(name, what string, bytes int, ones Mem, load func(Mem, VecVirtual)) {
	TEXT(name, NOSPLIT, "func(acc *int32, row *uint8, windows *[2]uint32, n int, weights *int8, steps int, scale int32)")
	Pragma("noescape")
	Doc(name+" adds, for each of n windows of a row "+what+", the sum of the",
		"pixels times weights, times scale, to the window's 8 lanes in acc.")
	acc := Load(Param("acc"), GP64())
	row := Load(Param("row"), GP64())
	windows := Load(Param("windows"), GP64())
	n := Load(Param("n"), GP64())
	weights := Load(Param("weights"), GP64())
	steps := Load(Param("steps"), GP64())
	scale := YMM()
	VMOVD(Load(Param("scale"), GP32()), scale.AsX())
	VPBROADCASTD(scale.AsX(), scale)
	one := YMM()
	VMOVDQU(ones, one)
	TESTQ(n, n)
	JZ(LabelRef("done"))

	Label("next")
	p, w, k := GP64(), GP64(), GP64()
	MOVLQZX(Mem{Base: windows}, p)
	MOVLQZX(Mem{Base: windows, Disp: 4}, w)
	ADDQ(row, p)
	ADDQ(weights, w)
	MOVQ(steps, k)
	sum := YMM()
	VPXOR(sum, sum, sum)

	Label("step")
	v := YMM()
	load(Mem{Base: p}, v)
	VPMADDUBSW(Mem{Base: w}, v, v)
	VPMADDWD(one, v, v)
	VPADDD(v, sum, sum)
	ADDQ(U8(bytes), p)
	ADDQ(U8(32), w)
	DECQ(k)
	JNZ(LabelRef("step"))

	VPMULLD(scale, sum, sum)
	VPADDD(Mem{Base: acc}, sum, sum)
	VMOVDQU(sum, Mem{Base: acc})
	ADDQ(U8(32), acc)
	ADDQ(U8(8), windows)
	DECQ(n)
	JNZ(LabelRef("next"))

	Label("done")
	VZEROUPPER()
	RET()
}

// upsample writes a kernel of libjpeg's triangle filter for a chroma plane of
// half the picture's size; shift and the roundings of left and right pixels are
// libjpeg's.
func upsample(name, halved string, shift, roundLeft, roundRight int16) {
	both := halved != "width"
	rowsDoc, signature := "row near", "func(dst, near *uint8, n int)"
	if both {
		rowsDoc, signature = "rows near and far, the nearer and the farther one", "func(dst, near, far *uint8, n int)"
	}
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name+" makes 2n chroma values of n samples of the "+rowsDoc+",",
		"of a plane of half the picture's "+halved+". It reads a sample before and one",
		"after them. n is a multiple of 16 and not 0.")
	dst := Load(Param("dst"), GP64())
	near := Load(Param("near"), GP64())
	far := near
	if both {
		far = Load(Param("far"), GP64())
	}
	n := Load(Param("n"), GP64())
	leftV, rightV := YMM(), YMM()
	VMOVDQU(words(name+"Left", roundLeft, roundLeft), leftV)
	VMOVDQU(words(name+"Right", roundRight, roundRight), rightV)

	// rows returns the sample, or three times the near one and the far one.
	rows := func(offset int) VecVirtual {
		a, b, c := YMM(), YMM(), YMM()
		VPMOVZXBW(Mem{Base: near, Disp: offset}, a)
		if !both {
			return a
		}
		VPMOVZXBW(Mem{Base: far, Disp: offset}, b)
		VPADDW(a, a, c)
		VPADDW(a, b, b)
		VPADDW(c, b, b)
		return b
	}
	Label("next")
	v := rows(0)
	left := rows(-1)
	right := rows(1)
	v3 := YMM()
	VPADDW(v, v, v3)
	VPADDW(v, v3, v3)
	VPADDW(leftV, left, left)
	VPADDW(v3, left, left)
	VPSRLW(U8(shift), left, left)
	VPADDW(rightV, right, right)
	VPADDW(v3, right, right)
	VPSRLW(U8(shift), right, right)
	VPSLLW(U8(8), right, right)
	VPOR(left, right, right)
	VMOVDQU(right, Mem{Base: dst})
	ADDQ(U8(16), near)
	if both {
		ADDQ(U8(16), far)
	}
	ADDQ(U8(32), dst)
	SUBQ(U8(16), n)
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
	one := words("ones2", 1, 1)
	redFactor := words("redFactor", 26345, 26345)
	blueFactor := words("blueFactor", -14942, -14942)
	greenFactors := words("greenFactors", -22554, 18734)
	half := GLOBL("half", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(1<<15))
	}
	constant := func(m Mem) VecVirtual {
		v := YMM()
		VMOVDQU(m, v)
		return v
	}
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
