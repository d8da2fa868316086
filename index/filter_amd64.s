//go:build !purego

#include "textflag.h"

// type run struct, 24 bytes.
#define run_frames 0
#define run_first 8
#define run_last 12
#define run_near 16
#define run_limit 18
#define run_table 19
#define run_n 20
#define run__size 24

// Room for the items of one more run of at most 16 frames: 12*(256-16) bytes.
#define ITEMS_FULL 2880

// Registers: DI near, SI the run, R9 runs left, R10 first item, R8 next item,
// R13 first run.

#define ARGS \
	MOVQ near+0(FP), DI; \
	MOVQ runs+8(FP), SI; \
	MOVQ n+16(FP), R9; \
	MOVQ items+24(FP), R8; \
	MOVQ R8, R10; \
	MOVQ SI, R13

// NEXT begins a run: BX its frames, CX their number, R11 the mask.
#define NEXT \
	MOVQ run_frames(SI), BX; \
	MOVBLZX run_n(SI), CX; \
	MOVL run_first(SI), R11; \
	MOVL run_last(SI), R15; \
	MOVBLZX run_table(SI), R14

// MASK takes elements that passed, in DX, and drops those that are not of the
// run. It counts the frame: zero after the last.
#define MASK(more) \
	ANDL R11, DX; \
	MOVL $-1, R11; \
	DECL CX; \
	JNZ more; \
	ANDL R15, DX; \
more:

// KEEP writes an item.
#define KEEP \
	MOVL (BX), AX; \
	MOVL AX, (R8); \
	MOVL DX, 4(R8); \
	MOVL R14, 8(R8); \
	ADDQ $12, R8

// DONE returns.
#define DONE \
	VZEROUPPER; \
	SUBQ R13, SI; \
	MOVQ SI, AX; \
	XORL DX, DX; \
	MOVQ $run__size, CX; \
	DIVQ CX; \
	MOVQ AX, done+32(FP); \
	SUBQ R10, R8; \
	MOVQ R8, AX; \
	XORL DX, DX; \
	MOVQ $12, CX; \
	DIVQ CX; \
	MOVQ AX, kept+40(FP); \
	RET

// func filterAVX512(near *[frameLen]uint16, runs *run, n int, items *[searchItems]item) (done, kept int)
TEXT ·filterAVX512(SB), NOSPLIT, $0-48
	ARGS

run:
	NEXT
	VPBROADCASTW run_near(SI), Z0
	MOVBLZX run_limit(SI), AX
	VPBROADCASTW AX, Z1

frame:
	MOVL (BX), AX
	SHLQ $6, AX
	VPXORQ (DI)(AX*1), Z0, Z2
	VPOPCNTW Z2, Z2
	VPCMPUW $2, Z1, Z2, K1
	KMOVD K1, DX
	MASK(more)
	TESTL DX, DX
	JNZ keep

kept:
	ADDQ $4, BX
	TESTL CX, CX
	JNZ frame
	ADDQ $run__size, SI
	DECQ R9
	JZ done
	MOVQ R8, AX
	SUBQ R10, AX
	CMPQ AX, $ITEMS_FULL
	JLE run

done:
	DONE

keep:
	KEEP
	JMP kept

// func filterAVX2(near *[frameLen]uint16, runs *run, n int, items *[searchItems]item) (done, kept int)
TEXT ·filterAVX2(SB), NOSPLIT, $0-48
	ARGS
	VBROADCASTI128 nibbles<>(SB), Y8 // ones in a nibble
	VPCMPEQB Y9, Y9, Y9
	VPABSB Y9, Y10                   // 1 in each byte
	VPSRLW $12, Y9, Y9
	VPSLLW $8, Y9, Y11
	VPOR Y11, Y9, Y9                 // 0x0f in each byte

run:
	NEXT
	VPBROADCASTW run_near(SI), Y12
	MOVBLZX run_limit(SI), AX
	MOVQ AX, X13
	VPBROADCASTW X13, Y13

frame:
	MOVL (BX), AX
	SHLQ $6, AX
	VPXOR (DI)(AX*1), Y12, Y0
	VPXOR 32(DI)(AX*1), Y12, Y1
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
	VPCMPGTW Y13, Y0, Y0   // over the limit
	VPCMPGTW Y13, Y1, Y1
	VPACKSSWB Y1, Y0, Y0
	VPERMQ $0xd8, Y0, Y0
	VPMOVMSKB Y0, DX
	NOTL DX
	MASK(more)
	TESTL DX, DX
	JNZ keep

kept:
	ADDQ $4, BX
	TESTL CX, CX
	JNZ frame
	ADDQ $run__size, SI
	DECQ R9
	JZ done
	MOVQ R8, AX
	SUBQ R10, AX
	CMPQ AX, $ITEMS_FULL
	JLE run

done:
	DONE

keep:
	KEEP
	JMP kept

DATA nibbles<>+0(SB)/8, $0x0302020102010100
DATA nibbles<>+8(SB)/8, $0x0403030203020201
GLOBL nibbles<>(SB), RODATA|NOPTR, $16
