// Products of int8 with 32-bit sums, and the quantising of their operands: the formulas are in scaled.h, with
// round(y / s) to the nearest integer and s = max |y| / 127.
//
// The bits of q and s are those of tensor.Rotate and tensor.QuantiseInt8. Sums are exact if K is at most 2^17.
//
// Rate: mma.sync does twice the products of bfloat16 in an instruction, which takes as long on an A100 and half as long
// on a GeForce.
#include "scaled.h"

struct Int8 {
  MEMBER static float scale(u32 largest) {
    return largest < 0x7f800000u ? max(f32_of_bits(largest) / 127.0f, 1e-30f) : f32_of_bits(0x7fc00000u);
  }
  MEMBER static u8 round(float v) { return (u8)__nvvm_f2i_rn(v); }
};

QUANTISE(quantise, Int8, true)
QUANTISE(quantise_any, Int8, false)

using Large = Tile<128, 256, 32, 64, 64, 3>;
using Medium = Tile<128, 128, 32, 64, 64, 3>;
using Small = Tile<64, 64, 64, 32, 32, 3>;
using SmallPair = Tile<64, 128, 64, 32, 64, 3>;
using LargeQK = Tile<128, 256, 32, 32, 128, 3>;
using MediumQK = Tile<128, 128, 32, 32, 128, 3>;
using SmallQK = Tile<64, 128, 64, 16, 128, 3>;

SCALED_GEMM(int8_gemm_128x256, int, Large, true, 1)
SCALED_GEMM(int8_gemm_128x128, int, Medium, true, 2)
SCALED_GEMM(int8_gemm_64x64, int, Small, true, 3)
SCALED_GEMM(int8_gemm_loose, int, Small, false, 2)
SCALED_SILU(int8_silu_64x64, int, Small, true, 3)
SCALED_SILU(int8_silu_loose, int, Small, false, 2)
SCALED_QK_NORM_ROPE(int8_gemm_qk_norm_rope_128x256, int, LargeQK, 1)
SCALED_QK_NORM_ROPE(int8_gemm_qk_norm_rope_128x128, int, MediumQK, 2)
SCALED_QK_NORM_ROPE(int8_gemm_qk_norm_rope_64x128, int, SmallQK, 2)
SCALED_SWIGLU(int8_swiglu_128x256, int, Large, true, 1)
SCALED_SWIGLU(int8_swiglu_128x128, int, Medium, true, 2)
SCALED_SWIGLU(int8_swiglu_64x128, int, SmallPair, true, 1)
SCALED_SWIGLU(int8_swiglu_loose, int, SmallPair, false, 1)
