//go:build !purego

#include "textflag.h"

// func smoothLevelAVX2(out *int16, row *byte, n int)
TEXT ·smoothLevelAVX2(SB), NOSPLIT, $0-24
	MOVQ out+0(FP), DI
	MOVQ row+8(FP), SI
	MOVQ n+16(FP), CX
	SUBQ $16, CX // the last place to begin
	XORQ AX, AX

level:
	VPMOVZXBW (SI)(AX*1), Y0
	VPMOVZXBW 1(SI)(AX*1), Y1
	VPMOVZXBW 2(SI)(AX*1), Y2
	VPMOVZXBW 3(SI)(AX*1), Y3
	VPMOVZXBW 4(SI)(AX*1), Y4
	VPADDW    Y1, Y3, Y1
	VPADDW    Y1, Y2, Y1
	VPSLLW    $2, Y1, Y1 // 4 (b + c + d)
	VPADDW    Y2, Y2, Y2
	VPADDW    Y0, Y4, Y0
	VPADDW    Y0, Y2, Y0
	VPADDW    Y0, Y1, Y0
	VMOVDQU   Y0, (DI)(AX*2)
	CMPQ      AX, CX
	JGE       levelDone
	ADDQ      $16, AX
	CMPQ      AX, CX
	CMOVQGT   CX, AX
	JMP       level

levelDone:
	VZEROUPPER
	RET

DATA eights<>+0(SB)/8, $0x0008000800080008
DATA eights<>+8(SB)/8, $0x0008000800080008
DATA eights<>+16(SB)/8, $0x0008000800080008
DATA eights<>+24(SB)/8, $0x0008000800080008
GLOBL eights<>(SB), RODATA|NOPTR, $32

// func smoothUprightAVX2(out, a, b, c, d, e *int16, n int)
TEXT ·smoothUprightAVX2(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DI
	MOVQ a+8(FP), R8
	MOVQ b+16(FP), R9
	MOVQ c+24(FP), R10
	MOVQ d+32(FP), R11
	MOVQ e+40(FP), R12
	MOVQ n+48(FP), CX
	SUBQ $16, CX
	XORQ AX, AX
	VMOVDQU eights<>(SB), Y5

upright:
	VMOVDQU (R8)(AX*2), Y0
	VMOVDQU (R9)(AX*2), Y1
	VMOVDQU (R10)(AX*2), Y2
	VPADDW  (R11)(AX*2), Y1, Y1
	VPADDW  (R12)(AX*2), Y0, Y0
	VPADDW  Y1, Y2, Y1
	VPSLLW  $2, Y1, Y1
	VPADDW  Y2, Y2, Y2
	VPADDW  Y0, Y2, Y0
	VPADDW  Y0, Y1, Y0
	VPADDW  Y0, Y5, Y0
	VPSRLW  $4, Y0, Y0 // of at most 65288, without a sign
	VMOVDQU Y0, (DI)(AX*2)
	CMPQ    AX, CX
	JGE     uprightDone
	ADDQ    $16, AX
	CMPQ    AX, CX
	CMOVQGT CX, AX
	JMP     upright

uprightDone:
	VZEROUPPER
	RET

DATA least<>+0(SB)/8, $0x000007d0000007d0 // minResponse
DATA least<>+8(SB)/8, $0x000007d0000007d0
DATA least<>+16(SB)/8, $0x000007d0000007d0
DATA least<>+24(SB)/8, $0x000007d0000007d0
GLOBL least<>(SB), RODATA|NOPTR, $32

// func hessianAVX2(out *int32, a, c, e *int16, n int)
//
// All second differences and their sum fit 16 bits: smooth values are at most
// 4080. A saddle has no determinant over minResponse.
TEXT ·hessianAVX2(SB), NOSPLIT, $0-40
	MOVQ out+0(FP), DI
	MOVQ a+8(FP), R8
	MOVQ c+16(FP), R9
	MOVQ e+24(FP), R10
	MOVQ n+32(FP), CX
	SUBQ $8, CX
	XORQ AX, AX
	VMOVDQU least<>(SB), Y9
	VPXOR X8, X8, X8

place:
	VMOVDQU 4(R9)(AX*2), X1
	VPADDW  X1, X1, X1
	VMOVDQU (R9)(AX*2), X0
	VPADDW  8(R9)(AX*2), X0, X0
	VPSUBW  X1, X0, X0 // xx
	VMOVDQU 4(R8)(AX*2), X2
	VPADDW  4(R10)(AX*2), X2, X2
	VPSUBW  X1, X2, X2 // yy
	VMOVDQU (R8)(AX*2), X3
	VPADDW  8(R10)(AX*2), X3, X3
	VPSUBW  8(R8)(AX*2), X3, X3
	VPSUBW  (R10)(AX*2), X3, X3
	VPSRAW  $2, X3, X3 // xy
	VPSUBW  X3, X8, X4 // -xy
	VPADDW  X0, X2, X5
	VPSRAW  $1, X5, X5 // tr

	// det = xx yy + xy (-xy), of eight places in order.
	VPUNPCKLWD  X3, X0, X6
	VPUNPCKHWD  X3, X0, X7
	VINSERTI128 $1, X7, Y6, Y6
	VPUNPCKLWD  X4, X2, X10
	VPUNPCKHWD  X4, X2, X11
	VINSERTI128 $1, X11, Y10, Y10
	VPMADDWD    Y6, Y10, Y6
	VPMOVSXWD   X5, Y5
	VPMULLD     Y5, Y5, Y5
	VPSRLD      $1, Y5, Y5 // maxEdge
	VPCMPGTD    Y9, Y6, Y7
	VPCMPGTD    Y5, Y6, Y5
	VPAND       Y5, Y7, Y5
	VPAND       Y5, Y6, Y6
	VMOVDQU     Y6, (DI)(AX*4)
	CMPQ        AX, CX
	JGE         placeDone
	ADDQ        $8, AX
	CMPQ        AX, CX
	CMOVQGT     CX, AX
	JMP         place

placeDone:
	VZEROUPPER
	RET
