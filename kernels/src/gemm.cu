// Matrix products.
//
//   gemm               C[M, N] = A[M, K]·B[N, K]^T, then bias, residual or gated residual: see Output in tile.h
//   silu               C[M, N] = silu(A[M, K]·B[N, K]^T)
//   gemm_qk_norm_rope  C[M, N] = A[M, K]·B[N, K]^T, then RMSNorm and RoPE of queries or keys: see qk_norm_rope.h
//   swiglu             C[M, N] = silu(A·G^T) ⊙ (A·U^T) with G and U [N, K]; half of a tile's columns come from each
//
// A, B, G and U are bfloat16, C is bfloat16 or float32. A block computes one tile. The name of a kernel gives the size
// of its tile as rows × columns; for swiglu the columns are those of G and U together. _deep kernels hold four slices,
// not three. Rows of A, B and C start at multiples of 16 bytes, K and N are multiples of 8, M is any number. gemm_loose
// stores C one value at a time, at any address and also as float32. The _any kernels load one value at a time too.
//
// The columns of B, G and U from `split` on may come from a second matrix, so that a product ends in the thin matrices of
// an adapter: see beside.h.
//
// Rate: mma.sync is the limit if M and N fill the card; if there are few rows, it is reading B at the card's bandwidth.
#include "beside.h"
#include "qk_norm_rope.h"

template <int STAGES> using Large = Tile<128, 256, 32, 64, 64, STAGES>;
template <int STAGES> using Medium = Tile<128, 128, 32, 64, 64, STAGES>;
using Small = Tile<64, 64, 64, 32, 32, 3>;
using SmallPair = Tile<64, 128, 64, 32, 64, 3>;
using LargeQK = Tile<128, 256, 32, 32, 128, 3>;
using MediumQK = Tile<128, 128, 32, 32, 128, 3>;
using SmallQK = Tile<64, 128, 64, 16, 128, 3>;
using Any = Tile<64, 64, 32, 32, 32, 2>;
using AnyPair = Tile<64, 128, 32, 32, 64, 2>;

// gemm_body calls change(acc, row, col) before it stores a warp's sums, of which the first is element (row, col).
template <class T, bool ALIGNED, bool WHOLE, class Change>
DEV void gemm_body(const bf16 *a, int a_stride, const bf16 *b, int b_stride, const Beside &beside, const Output &out, int depth, Change change) {
  DYNAMIC_SHARED(shared);
  int tile_m, tile_n;
  tile_at(BLOCK_X, tile_m, tile_n, (out.rows + T::BM - 1) / T::BM, (out.cols + T::BN - 1) / T::BN);
  Rows<T, T::BM, ALIGNED> rows_a;
  RowsBeside<T, T::BN, ALIGNED> rows_b;
  rows_a.begin(a, a_stride, tile_m * T::BM, out.rows, depth);
  rows_b.begin(b, b_stride, beside, tile_n * T::BN, out.cols, depth);
  float acc[T::MI][T::NJ][4];
  multiply<T>(acc, shared_address(shared), rows_a, rows_b, (depth + T::BK - 1) / T::BK);
  const int row = tile_m * T::BM + WARP / T::WARPS_N * T::WM, col = tile_n * T::BN + WARP % T::WARPS_N * T::WN;
  change(acc, row, col);
  UNROLL
  for (int j = 0; j < T::NJ; j += 4)
    store<T::MI, 1, WHOLE>(out, InOrder{out.rows}, row, col + j * 8, [&](int i, int jj, int k) { return acc[i][j + jj][k]; });
}

// PairedRowsBeside is PairedRows for columns that come from two pairs of matrices.
template <class T, bool ALIGNED> struct PairedRowsBeside {
  PairedRows<T, ALIGNED> now;
  Beside beside;
  int slices, first, rows, rest;

  MEMBER void begin(const bf16 *gate, const bf16 *up, int stride, const Beside &second, int first_row, int all_rows, int depth) {
    now.begin(gate, up, stride, first_row, all_rows, second.split);
    beside = second, slices = second.split / T::BK, first = first_row, rows = all_rows, rest = depth - second.split;
    if (rest == 0) slices = -1;
  }
  MEMBER void load(u32 buffer) {
    if (slices-- == 0) now.begin(beside.m, beside.other, beside.stride, first, rows, rest);
    now.load(buffer);
  }
};

template <class T, bool ALIGNED, bool WHOLE>
DEV void swiglu_body(const bf16 *a, int a_stride, const bf16 *gate, const bf16 *up, int b_stride, const Beside &beside, const Output &out, int depth) {
  static_assert(T::WN == 64);
  DYNAMIC_SHARED(shared);
  int tile_m, tile_n;
  tile_at(BLOCK_X, tile_m, tile_n, (out.rows + T::BM - 1) / T::BM, (out.cols + T::BN / 2 - 1) / (T::BN / 2));
  Rows<T, T::BM, ALIGNED> rows_a;
  PairedRowsBeside<T, ALIGNED> rows_b;
  rows_a.begin(a, a_stride, tile_m * T::BM, out.rows, depth);
  rows_b.begin(gate, up, b_stride, beside, tile_n * T::BN / 2, out.cols, depth);
  float acc[T::MI][T::NJ][4];
  multiply<T>(acc, shared_address(shared), rows_a, rows_b, (depth + T::BK - 1) / T::BK);
  store<T::MI, 1, WHOLE>(out, InOrder{out.rows}, tile_m * T::BM + WARP / T::WARPS_N * T::WM, tile_n * (T::BN / 2) + WARP % T::WARPS_N * (T::WN / 2),
               [&](int i, int j, int k) { return silu(acc[i][j][k]) * acc[i][j + 4][k]; });
}

#define GEMM(name, T, ALIGNED, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS)                                        \
  TILE_OF(T, T::BN, takes(ALIGNED, WHOLE)) void name(const bf16 *a, int a_stride, const bf16 *b, int b_stride,       \
      const bf16 *beside, int beside_stride, PLAIN(dst), PLAIN(bias), PLAIN(gate), int rows, int cols, int add,      \
      int depth, int split) {                                                                                        \
    const Output out = {MAT(dst), MAT(bias), MAT(gate), rows, cols, add};                                            \
    gemm_body<T, ALIGNED, WHOLE>(a, a_stride, b, b_stride, {beside, beside, beside_stride, split}, out, depth,       \
                                 [](auto &, int, int) INLINE {});                                                    \
  }
#define SWIGLU(name, T, ALIGNED, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS)                                      \
  TILE_OF(T, T::BN / 2, takes(ALIGNED, WHOLE)) void name(const bf16 *a, int a_stride, const bf16 *gate, const bf16 *up,\
      int b_stride, const bf16 *gate_beside, const bf16 *up_beside, int beside_stride, PLAIN(dst), int rows,         \
      int cols, int depth, int split) {                                                                              \
    swiglu_body<T, ALIGNED, WHOLE>(a, a_stride, gate, up, b_stride, {gate_beside, up_beside, beside_stride, split},  \
                                   {MAT(dst), {}, {}, rows, cols, 0}, depth);                                        \
  }
#define SILU(name, T, ALIGNED, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS)                                        \
  TILE_OF(T, T::BN, takes(ALIGNED, WHOLE)) void name(const bf16 *a, int a_stride, const bf16 *b, int b_stride,       \
      PLAIN(dst), int rows, int cols, int depth) {                                                                   \
    const Output out = {MAT(dst), {}, {}, rows, cols, 0};                                                            \
    gemm_body<T, ALIGNED, WHOLE>(a, a_stride, b, b_stride, {b, b, b_stride, depth}, out, depth, [](auto &acc, int, int) INLINE { \
      UNROLL for (auto &tiles : acc) UNROLL for (auto &tile : tiles) UNROLL for (float &v : tile) v = silu(v);       \
    });                                                                                                              \
  }
// A warp computes whole heads.
#define QK_NORM_ROPE(name, T, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF(T, T::BN, STRICT) void name(           \
      const bf16 *a, int a_stride, const bf16 *b, int b_stride, const bf16 *beside, int beside_stride, PLAIN(dst),   \
      int rows, int cols, int depth, int split, PLAIN(w),                                                            \
      const float *cos, const float *sin, int cos_stride, int sin_stride, int halves, int head_cols, float eps) {    \
    static_assert(T::WN == HEAD);                                                                                    \
    const QKNormRoPE qk = {MAT(w), cos, sin, cos_stride, sin_stride, halves, head_cols, eps};                        \
    const Output out = {MAT(dst), {}, {}, rows, cols, 0};                                                            \
    gemm_body<T, true, true>(a, a_stride, b, b_stride, {beside, beside, beside_stride, split}, out, depth, [&](auto &acc, int row, int col) INLINE {         \
      UNROLL                                                                                                         \
      for (int i = 0; i < T::MI; i++) qk_norm_rope(acc[i], qk, row + i * 16, rows, col);                             \
    });                                                                                                              \
  }

GEMM(gemm_128x256, Large<3>, true, true, 1)
GEMM(gemm_128x256_deep, Large<4>, true, true, 1)
GEMM(gemm_128x128, Medium<3>, true, true, 2)
GEMM(gemm_128x128_deep, Medium<4>, true, true, 2)
GEMM(gemm_64x64, Small, true, true, 3)
GEMM(gemm_loose, Small, true, false, 2)
GEMM(gemm_any, Any, false, false, 2)
SILU(silu_64x64, Small, true, true, 3)
SILU(silu_any, Any, false, false, 2)
QK_NORM_ROPE(gemm_qk_norm_rope_128x256, LargeQK, 1)
QK_NORM_ROPE(gemm_qk_norm_rope_128x128, MediumQK, 2)
QK_NORM_ROPE(gemm_qk_norm_rope_64x128, SmallQK, 2)
SWIGLU(swiglu_128x256, Large<3>, true, true, 1)
SWIGLU(swiglu_128x256_deep, Large<4>, true, true, 1)
SWIGLU(swiglu_128x128, Medium<3>, true, true, 2)
SWIGLU(swiglu_128x128_deep, Medium<4>, true, true, 2)
SWIGLU(swiglu_64x128, SmallPair, true, true, 1)
SWIGLU(swiglu_any, AnyPair, false, false, 1)
