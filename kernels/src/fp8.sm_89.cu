// Products of fp8 (e4m3) with float32 sums, and the quantising of their operands: the formulas are in scaled.h, with
// round(y / s) to the nearest e4m3, ties to even, and s = max |y| / 448.
//
// The bits of q and s are those of tensor.Rotate and tensor.QuantiseF8E4M3.
//
// A tensor core aligns the 32 products of an instruction and the sum that it is given to the largest of them, and keeps
// about 14 bits of each. So it is given sums of 64 columns at most, which are added to those of all columns in float32,
// in ascending order: one addition for each half of an instruction. That takes twice the registers for sums, so that
// tiles are smaller than for int8.
//
// Rate: mma.sync does twice the products of bfloat16 in an instruction, which takes as long on a GeForce.
#include "scaled.h"

// Sum is the sum of the columns so far: of whole 64 columns, and of those behind them.
struct Sum {
  float whole, part;
  MEMBER void operator=(float v) { whole = v, part = v; }
  MEMBER explicit operator float() const { return whole; }
};

// multiply_add computes d[16, 8] += a[16, 32]·b[32, 8]; lanes hold of d what they hold for bfloat16: see cu.h.
OP void multiply_add(Sum (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0].part), "+f"(d[1].part), "+f"(d[2].part), "+f"(d[3].part)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
OP void settle(Sum (&d)[4]) {
  UNROLL
  for (int i = 0; i < 4; i++) d[i].whole += d[i].part, d[i].part = 0;
}

struct E4M3 {
  MEMBER static float scale(u32 largest) {
    return largest < 0x7f800000u ? max(f32_of_bits(largest) / 448.0f, 1e-30f) : f32_of_bits(0x7fc00000u);
  }
  MEMBER static u8 round(float v) {
    u16 r;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(0.0f), "f"(v));
    return (u8)r;
  }
};

QUANTISE(quantise_fp8, E4M3, true)
QUANTISE(quantise_fp8_any, E4M3, false)

using Medium = Tile<128, 128, 32, 32, 64, 3>;
using Small = Tile<64, 64, 64, 32, 32, 3>;
using SmallPair = Tile<64, 128, 64, 32, 64, 3>;
using MediumQK = Tile<128, 128, 32, 16, 128, 3>;
using SmallQK = Tile<64, 128, 64, 16, 128, 3>;

SCALED_GEMM(fp8_gemm_128x128, Sum, Medium, true, 1)
SCALED_GEMM(fp8_gemm_64x64, Sum, Small, true, 3)
SCALED_GEMM(fp8_gemm_loose, Sum, Small, false, 2)
SCALED_SILU(fp8_silu_64x64, Sum, Small, true, 3)
SCALED_SILU(fp8_silu_loose, Sum, Small, false, 2)
SCALED_QK_NORM_ROPE(fp8_gemm_qk_norm_rope_128x128, Sum, MediumQK, 1)
SCALED_QK_NORM_ROPE(fp8_gemm_qk_norm_rope_64x128, Sum, SmallQK, 2)
SCALED_SWIGLU(fp8_swiglu_128x128, Sum, Medium, true, 1)
SCALED_SWIGLU(fp8_swiglu_64x128, Sum, SmallPair, true, 1)
SCALED_SWIGLU(fp8_swiglu_loose, Sum, SmallPair, false, 1)
