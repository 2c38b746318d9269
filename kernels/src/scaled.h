// scaled.h multiplies matrices of 8-bit values that have a scale for each row, and quantises rows of floats to them.
//
//   quantise           q = round(y / s) for each row y of x·H, with a scale s that follows from the largest |y|: H rotates
//                      groups of columns (rotation.h), if there are any
//   gemm               C[M, N] = s_a ⊙ (A[M, K]·B[N, K]^T) ⊙ s_b, then bias, residual or gated residual: see Output in
//                      tile.h
//   silu               C[M, N] = silu(s_a ⊙ (A·B^T) ⊙ s_b)
//   gemm_qk_norm_rope  C[M, N] = s_a ⊙ (A·B^T) ⊙ s_b, then RMSNorm and RoPE of queries or keys: see qk_norm_rope.h
//   swiglu             C[M, N] = silu(s_a ⊙ (A·G^T) ⊙ s_g) ⊙ (s_a ⊙ (A·U^T) ⊙ s_u); half of a tile's columns come from
//                      each
//
// N is the type of a sum, which chooses the instruction that multiplies: see tile.h. Rows of bytes start at multiples of
// 16 bytes and end in zeros up to such a multiple, which is K. A sum is multiplied by the scale of its row, then by that
// of its column, each rounded once. A row with a NaN or an infinity has the scale NaN, and so all its products are NaN.
//
// A block of quantise computes a row, 4096 columns at a time: first the largest magnitude, then the rounding, for which
// it rotates all columns again but those it did last. So it reads rows of more than 4096 columns twice, the second time
// from the L1 cache.
//
// Operands of products may have further columns in bfloat16, such as the thin matrices of an adapter. Their product is
// added to the scaled sums, in the order of gemm.cu, before anything is done with them.
//
// Products have the tiles of gemm.cu, whose slices hold as many bytes, and so twice as many columns. C is bfloat16 with
// rows that start at multiples of 16 bytes and N a multiple of 8. The _loose kernels store C one value at a time, at any
// address and also as float32.
//
// Rate: memory is the limit of quantise, two bytes read and one written for each value. mma.sync is that of products.
#pragma once
#include "value.h"
#include "qk_norm_rope.h"
#include "rotation.h"

static constexpr int QUANTISED = 4096, QUANTISE_THREADS = QUANTISED / 16;

// Q says what a row's scale is, from the bits of its largest magnitude (those of infinity and of NaN are above all
// others), and which byte a value that was divided by it becomes.
template <class Q, bool ALIGNED> DEV void quantise_body(u8 *dst, int stride, float *scales, Mat x, int cols, int group, float norm) {
  SHARED static float exchange[exchanged(QUANTISED)];
  SHARED static __attribute__((aligned(16))) u8 bytes[QUANTISED];
  SHARED static u32 part[QUANTISE_THREADS / 32];
  const int row = BLOCK_X;
  float v[16];
  u32 largest = 0;
  int from = 0;
  for (;; from += QUANTISED) {
    rotated<ALIGNED>(v, exchange, x, row, from, cols, group, norm);
    UNROLL
    for (int i = 0; i < 16; i++) largest = max(largest, bits_of_f32(v[i]) & 0x7fffffffu);
    if (from + QUANTISED >= cols) break;
    barrier();
  }
  UNROLL
  for (int m = 16; m; m >>= 1) largest = max(largest, shuffle_xor(largest, m));
  if (LANE == 0) part[WARP] = largest;
  barrier();
  UNROLL
  for (u32 other : part) largest = max(largest, other);
  const float scale = Q::scale(largest), inverse = 1.0f / scale;
  if (TID == 0) stg(scales + row, scale);
  for (;;) {
    UNROLL
    for (int i = 0; i < 16; i++) bytes[rotated_column(i)] = Q::round(v[i] * inverse);
    barrier();
    const int col = from + TID * 16;
    if (col < cols) stg(dst + (i64)row * stride + col, load_shared(shared_address(bytes) + TID * 16));
    if (from == 0) return;
    from -= QUANTISED;
    rotated<ALIGNED>(v, exchange, x, row, from, cols, group, norm);
  }
}

// Factor is an operand of a product: rows of bytes, stride bytes apart, with a scale for each row.
struct Factor {
  const u8 *values;
  int stride;
  const float *scales;
};

// Thin is further columns of the operands, in bfloat16: an adapter's, whose product is added before anything is done with
// the sums. There are none if depth is 0. `other` is that of up in a SwiGLU.
struct Thin {
  const bf16 *a;
  int a_stride;
  const bf16 *b, *other;
  int b_stride, depth;
};

// scaled turns a warp's sums into values of the product, of which the first is in row `row`. scale(j) has the scales of the
// two columns that a lane holds of tile column j.
template <class T, class N, class S>
DEV void scaled(float (&y)[T::MI][T::NJ][4], const N (&sums)[T::MI][T::NJ][4], const float *scales, int row, int rows, S scale) {
  float of_row[T::MI][2];
  UNROLL
  for (int i = 0; i < T::MI; i++)
    UNROLL
    for (int half = 0; half < 2; half++) of_row[i][half] = ldg<float>(scales + min(row + i * 16 + half * 8 + (LANE >> 2), rows - 1));
  UNROLL
  for (int j = 0; j < T::NJ; j++) {
    const f32x2 of_column = scale(j);
    UNROLL
    for (int i = 0; i < T::MI; i++)
      UNROLL
      for (int k = 0; k < 4; k++) y[i][j][k] = scaled_value(sums[i][j][k], of_row[i][k / 2], of_column.v[k % 2]);
  }
}

// product_body calls change(y, row, col) before it stores a warp's values, of which the first is element (row, col).
template <class N, class T, bool WHOLE, class Change>
DEV void product_body(Factor a, Factor b, const Thin &thin, const Output &out, int depth, Change change) {
  DYNAMIC_SHARED(shared);
  int tile_m, tile_n;
  tile_at(BLOCK_X, tile_m, tile_n, (out.rows + T::BM - 1) / T::BM, (out.cols + T::BN - 1) / T::BN);
  Rows<T, T::BM, true> rows_a;
  Rows<T, T::BN, true> rows_b;
  rows_a.begin((const bf16 *)a.values, a.stride / 2, tile_m * T::BM, out.rows, depth / 2);
  rows_b.begin((const bf16 *)b.values, b.stride / 2, tile_n * T::BN, out.cols, depth / 2);
  N sums[T::MI][T::NJ][4];
  multiply<T>(sums, shared_address(shared), rows_a, rows_b, (depth / 2 + T::BK - 1) / T::BK);
  const int row = tile_m * T::BM + WARP / T::WARPS_N * T::WM, col = tile_n * T::BN + WARP % T::WARPS_N * T::WN;
  float y[T::MI][T::NJ][4];
  scaled<T>(y, sums, a.scales, row, out.rows,
            [&](int j) INLINE { return scales_at<WHOLE>(b.scales, col + j * 8 + (LANE & 3) * 2, out.cols); });
  if (thin.depth > 0) {
    barrier(); // no warp still reads the last slice
    rows_a.begin(thin.a, thin.a_stride, tile_m * T::BM, out.rows, thin.depth);
    rows_b.begin(thin.b, thin.b_stride, tile_n * T::BN, out.cols, thin.depth);
    add_products<T>(y, shared_address(shared), rows_a, rows_b, (thin.depth + T::BK - 1) / T::BK);
  }
  change(y, row, col);
  UNROLL
  for (int j = 0; j < T::NJ; j += 4)
    store<T::MI, 1, WHOLE>(out, InOrder{out.rows}, row, col + j * 8, [&](int i, int jj, int k) { return y[i][j + jj][k]; });
}

// gate and up have the same stride.
template <class N, class T, bool WHOLE>
DEV void swiglu_body(Factor a, Factor gate, Factor up, const Thin &thin, const Output &out, int depth) {
  static_assert(T::WN == 64);
  DYNAMIC_SHARED(shared);
  int tile_m, tile_n;
  tile_at(BLOCK_X, tile_m, tile_n, (out.rows + T::BM - 1) / T::BM, (out.cols + T::BN / 2 - 1) / (T::BN / 2));
  Rows<T, T::BM, true> rows_a;
  PairedRows<T, true> rows_b;
  rows_a.begin((const bf16 *)a.values, a.stride / 2, tile_m * T::BM, out.rows, depth / 2);
  rows_b.begin((const bf16 *)gate.values, (const bf16 *)up.values, gate.stride / 2, tile_n * T::BN / 2, out.cols, depth / 2);
  N sums[T::MI][T::NJ][4];
  multiply<T>(sums, shared_address(shared), rows_a, rows_b, (depth / 2 + T::BK - 1) / T::BK);
  const int row = tile_m * T::BM + WARP / T::WARPS_N * T::WM, col = tile_n * (T::BN / 2) + WARP % T::WARPS_N * (T::WN / 2);
  float y[T::MI][T::NJ][4];
  scaled<T>(y, sums, a.scales, row, out.rows, [&](int j) INLINE {
    return scales_at<WHOLE>(j < 4 ? gate.scales : up.scales, col + j % 4 * 8 + (LANE & 3) * 2, out.cols);
  });
  if (thin.depth > 0) {
    barrier();
    rows_a.begin(thin.a, thin.a_stride, tile_m * T::BM, out.rows, thin.depth);
    rows_b.begin(thin.b, thin.other, thin.b_stride, tile_n * T::BN / 2, out.cols, thin.depth);
    add_products<T>(y, shared_address(shared), rows_a, rows_b, (thin.depth + T::BK - 1) / T::BK);
  }
  store<T::MI, 1, WHOLE>(out, InOrder{out.rows}, row, col, [&](int i, int j, int k) { return silu(y[i][j][k]) * y[i][j + 4][k]; });
}

#define FACTOR(m) const u8 *m, int m##_stride, const float *m##_scales
#define THE(m) Factor{m, m##_stride, m##_scales}
#define THIN const bf16 *a_thin, int a_thin_stride, const bf16 *b_thin, int b_thin_stride, int thin
#define THE_THIN Thin{a_thin, a_thin_stride, b_thin, b_thin, b_thin_stride, thin}
// TILE_OF_BYTES is TILE_OF for slices that hold two columns for each one of bfloat16.
#define TILE_OF_BYTES(T, n, WHOLE) TILE(T::BM, n, T::BK * 2, T::STAGES, T::SHARED_BYTES, takes(true, WHOLE))

#define SCALED_GEMM(name, N, T, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF_BYTES(T, T::BN, WHOLE) void name( \
      FACTOR(a), FACTOR(b), THIN, PLAIN(dst), PLAIN(bias), PLAIN(gate), int rows, int cols, int add, int depth) {     \
    const Output out = {MAT(dst), MAT(bias), MAT(gate), rows, cols, add};                                             \
    product_body<N, T, WHOLE>(THE(a), THE(b), THE_THIN, out, depth, [](auto &, int, int) INLINE {});                  \
  }
#define SCALED_SILU(name, N, T, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF_BYTES(T, T::BN, WHOLE) void name( \
      FACTOR(a), FACTOR(b), PLAIN(dst), int rows, int cols, int depth) {                                              \
    const Output out = {MAT(dst), {}, {}, rows, cols, 0};                                                             \
    product_body<N, T, WHOLE>(THE(a), THE(b), {}, out, depth, [](auto &y, int, int) INLINE {                          \
      UNROLL for (auto &tiles : y) UNROLL for (auto &tile : tiles) UNROLL for (float &v : tile) v = silu(v);          \
    });                                                                                                               \
  }
// A warp computes whole heads.
#define SCALED_QK_NORM_ROPE(name, N, T, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF_BYTES(T, T::BN, true) void name( \
      FACTOR(a), FACTOR(b), THIN, PLAIN(dst), int rows, int cols, int depth, PLAIN(w), const float *cos,              \
      const float *sin, int cos_stride, int sin_stride, int halves, int head_cols, float eps) {                       \
    static_assert(T::WN == HEAD);                                                                                     \
    const QKNormRoPE qk = {MAT(w), cos, sin, cos_stride, sin_stride, halves, head_cols, eps};                         \
    const Output out = {MAT(dst), {}, {}, rows, cols, 0};                                                             \
    product_body<N, T, true>(THE(a), THE(b), THE_THIN, out, depth, [&](auto &y, int row, int col) INLINE {            \
      UNROLL                                                                                                          \
      for (int i = 0; i < T::MI; i++) qk_norm_rope(y[i], qk, row + i * 16, rows, col);                                \
    });                                                                                                               \
  }
#define SCALED_SWIGLU(name, N, T, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF_BYTES(T, T::BN / 2, WHOLE)   \
  void name(FACTOR(a), const u8 *gate, const u8 *up, int b_stride, const float *gate_scales, const float *up_scales,  \
            const bf16 *a_thin, int a_thin_stride, const bf16 *gate_thin, const bf16 *up_thin, int b_thin_stride,     \
            int thin, PLAIN(dst), int rows, int cols, int depth) {                                                    \
    swiglu_body<N, T, WHOLE>(THE(a), {gate, b_stride, gate_scales}, {up, b_stride, up_scales},                        \
                          {a_thin, a_thin_stride, gate_thin, up_thin, b_thin_stride, thin},                           \
                          {MAT(dst), {}, {}, rows, cols, 0}, depth);                                                  \
  }

#define QUANTISE(name, Q, ALIGNED)                                                                                    \
  KERNEL THREADS(QUANTISE_THREADS, 1) void name(u8 *dst, int stride, float *scales, PLAIN(x), int cols, int group,    \
                                                float norm) {                                                         \
    quantise_body<Q, ALIGNED>(dst, stride, scales, MAT(x), cols, group, norm);                                        \
  }
