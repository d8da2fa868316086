//go:build !purego

#include "textflag.h"

// How many items ahead a frame is fetched, and that in bytes of items.
#define AHEAD 24
#define AHEAD_BYTES 288

// FETCH starts the read of the frame of the item at off(SI).
#define FETCH(off) \
	MOVL off(SI), BX; \
	SHLQ $6, BX; \
	PREFETCHT0 (DI)(BX*1)

// KEEP writes the item at SI, with DX as its mask, to R8, and moves on by one
// item there unless the mask is zero.
#define KEEP \
	MOVL (SI), AX; \
	MOVL 8(SI), CX; \
	MOVL AX, (R8); \
	MOVL DX, 4(R8); \
	MOVL CX, 8(R8); \
	XORL R11, R11; \
	TESTL DX, DX; \
	SETNE R11; \
	LEAQ (R11)(R11*2), R11; \
	LEAQ (R8)(R11*4), R8

// func filterAVX512(near *[frameLen]uint16, items *item, n int) int
TEXT ·filterAVX512(SB), NOSPLIT, $0-32
	MOVQ near+0(FP), DI
	MOVQ items+8(FP), SI
	MOVQ n+16(FP), R9
	MOVQ SI, R8
	MOVQ SI, R10
	MOVQ $AHEAD, R12

first512:
	FETCH(0)
	ADDQ $12, SI
	DECQ R12
	JNZ  first512
	MOVQ R10, SI
	TESTQ R9, R9
	JZ   done512

loop512:
	FETCH(AHEAD_BYTES)
	MOVL (SI), AX
	SHLQ $6, AX
	VPBROADCASTW 8(SI), Z0
	VPXORQ (DI)(AX*1), Z0, Z0
	VPOPCNTW Z0, Z0
	MOVBLZX 10(SI), CX
	VPBROADCASTW CX, Z1
	VPCMPUW $2, Z1, Z0, K1
	KMOVD K1, DX
	ANDL 4(SI), DX
	KEEP
	ADDQ $12, SI
	DECQ R9
	JNZ  loop512

done512:
	VZEROUPPER
	SUBQ R10, R8
	MOVQ R8, ret+24(FP)
	RET

// func filterAVX2(near *[frameLen]uint16, items *item, n int) int
TEXT ·filterAVX2(SB), NOSPLIT, $0-32
	MOVQ near+0(FP), DI
	MOVQ items+8(FP), SI
	MOVQ n+16(FP), R9
	MOVQ SI, R8
	MOVQ SI, R10
	MOVQ $AHEAD, R12
	VBROADCASTI128 nibbles<>(SB), Y8 // ones in a nibble
	VPCMPEQB Y9, Y9, Y9
	VPABSB Y9, Y10                   // 1 in each byte
	VPSRLW $12, Y9, Y9
	VPSLLW $8, Y9, Y11
	VPOR Y11, Y9, Y9                 // 0x0f in each byte

first2:
	FETCH(0)
	ADDQ $12, SI
	DECQ R12
	JNZ  first2
	MOVQ R10, SI
	TESTQ R9, R9
	JZ   done2

loop2:
	FETCH(AHEAD_BYTES)
	MOVL (SI), AX
	SHLQ $6, AX
	VPBROADCASTW 8(SI), Y0
	VPXOR 32(DI)(AX*1), Y0, Y1
	VPXOR (DI)(AX*1), Y0, Y0
	VPSRLW $4, Y0, Y2
	VPSRLW $4, Y1, Y3
	VPAND Y9, Y0, Y0
	VPAND Y9, Y1, Y1
	VPAND Y9, Y2, Y2
	VPAND Y9, Y3, Y3
	VPSHUFB Y0, Y8, Y0
	VPSHUFB Y1, Y8, Y1
	VPSHUFB Y2, Y8, Y2
	VPSHUFB Y3, Y8, Y3
	VPADDB Y2, Y0, Y0
	VPADDB Y3, Y1, Y1
	VPMADDUBSW Y10, Y0, Y0 // ones in each word
	VPMADDUBSW Y10, Y1, Y1
	MOVBLZX 10(SI), CX
	MOVQ CX, X4
	VPBROADCASTW X4, Y4
	VPCMPGTW Y4, Y0, Y0    // over the limit
	VPCMPGTW Y4, Y1, Y1
	VPACKSSWB Y1, Y0, Y0
	VPERMQ $0xd8, Y0, Y0
	VPMOVMSKB Y0, DX
	NOTL DX
	ANDL 4(SI), DX
	KEEP
	ADDQ $12, SI
	DECQ R9
	JNZ  loop2

done2:
	VZEROUPPER
	SUBQ R10, R8
	MOVQ R8, ret+24(FP)
	RET

DATA nibbles<>+0(SB)/8, $0x0302020102010100
DATA nibbles<>+8(SB)/8, $0x0403030203020201
GLOBL nibbles<>(SB), RODATA|NOPTR, $16
