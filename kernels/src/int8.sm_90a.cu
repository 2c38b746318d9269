// Products of int8 on sm_90a: int8_gemm, int8_gemm_qk_norm_rope and int8_swiglu of int8.cu, for results that its STRICT
// kernels store, and operands without further columns in bfloat16.
//
// grid.h says how a block walks over tiles, and gemm.sm_90a.cu what the names mean. A slice holds 128 columns of int8, two
// in the place of each one of bfloat16, and is copied as if it were bfloat16. A second loop for further columns would need
// registers for both kinds of sums at the same time, of which there are too few.
//
// Rate: wgmma is the limit if M and N fill the card, with twice the products of bfloat16 in the same time.
#include "grid.h"
#include "value.h"
#include "qk_norm_rope.h"

// Scales are those of the rows of both operands. `other` has those of up in a SwiGLU.
struct Scales {
  const float *a, *b, *other;
};

// RowScales are the scales of the two rows of which a lane has sums.
struct RowScales {
  float v[2];

  MEMBER RowScales(const float *scales, int row, int rows) {
    UNROLL
    for (int half = 0; half < 2; half++) v[half] = ldg<float>(scales + min(row + half * 8 + (LANE >> 2), rows - 1));
  }
  // value is sum k of the four of a tile, times the scales of its row and column.
  MEMBER float value(int sum, int k, f32x2 columns) const { return scaled_value(sum, v[k / 2], columns.v[k % 2]); }
};

// product_body calls change(y, row, col) before it stores CHUNK tiles of 8 columns of a warp, of which the first value is
// element (row, col). Few are scaled at a time, because their sums need their registers until then. depth counts two
// columns as one.
template <class G, int CHUNK, class Change>
DEV void product_body(const TensorMap &a, const TensorMap &b, const Scales &scales, const Output &out, int depth, Change change) {
  run<G, int>(
      (out.rows + G::BM - 1) / G::BM, (out.cols + G::BN - 1) / G::BN, (depth + PANEL - 1) / PANEL,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int step) {
        copy_box(slice, a, full, step * PANEL, tile_m * G::BM);
        copy_box(slice + G::A_BYTES, b, full, step * PANEL, tile_n * G::BN);
      },
      [&](int(&sums)[G::NJ][4], int row, int tile_n) INLINE {
        UNROLL
        for (int first = 0; first < G::NJ; first += CHUNK) {
          const int col = tile_n * G::BN + first * 8;
          const RowScales of_row(scales.a, row, out.rows);
          float y[CHUNK][4];
          UNROLL
          for (int j = 0; j < CHUNK; j++) {
            const f32x2 columns = scales_at<true>(scales.b, col + j * 8 + (LANE & 3) * 2, out.cols);
            UNROLL
            for (int k = 0; k < 4; k++) y[j][k] = of_row.value(sums[first + j][k], k, columns);
          }
          change(y, row, col);
          store<1, CHUNK / 4, true>(out, InOrder{out.rows}, row, col, [&](int, int j, int k) INLINE { return y[j][k]; });
        }
      });
}

template <class G>
DEV void swiglu_body(const TensorMap &a, const TensorMap &gate, const TensorMap &up, const Scales &scales, const Output &out, int depth) {
  constexpr int HALF = G::BN / 2;
  run<G, int>(
      (out.rows + G::BM - 1) / G::BM, (out.cols + HALF - 1) / HALF, (depth + PANEL - 1) / PANEL,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int step) {
        const u32 first = slice + G::A_BYTES;
        copy_box(slice, a, full, step * PANEL, tile_m * G::BM);
        copy_box(first, gate, full, step * PANEL, tile_n * HALF);
        copy_box(first + HALF * PANEL_ROW, up, full, step * PANEL, tile_n * HALF);
      },
      [&](int(&sums)[G::NJ][4], int row, int tile_n) INLINE {
        const RowScales of_row(scales.a, row, out.rows);
        UNROLL
        for (int first = 0; first < HALF / 8; first += 4) {
          const int col = tile_n * HALF + first * 8;
          f32x2 of_gate[4], of_up[4];
          UNROLL
          for (int j = 0; j < 4; j++) {
            of_gate[j] = scales_at<true>(scales.b, col + j * 8 + (LANE & 3) * 2, out.cols);
            of_up[j] = scales_at<true>(scales.other, col + j * 8 + (LANE & 3) * 2, out.cols);
          }
          store<1, 1, true>(out, InOrder{out.rows}, row, col, [&](int, int j, int k) INLINE {
            return silu(of_row.value(sums[first + j][k], k, of_gate[j])) * of_row.value(sums[first + j + HALF / 8][k], k, of_up[j]);
          });
        }
      });
}

// A slice has two columns of int8 in each of its PANEL columns.
#define TILE_OF_INT8(G, n) TILE(G::BM, n, G::BK * 2, G::STAGES, G::SHARED_BYTES, STRICT)
#define INT8_GEMM(name, G)                                                                                           \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF_INT8(G, G::BN) void name(                                               \
      TENSOR a, TENSOR b, const float *a_scales, const float *b_scales, Mat dst, Mat bias, Mat gate, int rows,       \
      int cols, int add, int depth) {                                                                                \
    product_body<G, 4>(a, b, {a_scales, b_scales, b_scales}, Output{dst, bias, gate, rows, cols, add}, depth / 2,       \
                    [](auto &, int, int) INLINE {});                                                                 \
  }
#define INT8_SWIGLU(name, G)                                                                                         \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF_INT8(G, G::BN / 2) void name(                                           \
      TENSOR a, TENSOR gate, TENSOR up, const float *a_scales, const float *gate_scales, const float *up_scales,     \
      Mat dst, int rows, int cols, int depth) {                                                                      \
    swiglu_body<G>(a, gate, up, {a_scales, gate_scales, up_scales}, Output{dst, {}, {}, rows, cols, 0}, depth / 2);  \
  }
#define INT8_QK_NORM_ROPE(name, G)                                                                                   \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF_INT8(G, G::BN) void name(                                               \
      TENSOR a, TENSOR b, const float *a_scales, const float *b_scales, Mat dst, int rows, int cols, int depth,      \
      Mat w, const float *cos, const float *sin, int cos_stride, int sin_stride, int halves, int head_cols,          \
      float eps) {                                                                                                   \
    const QKNormRoPE qk = {w, cos, sin, cos_stride, sin_stride, halves, head_cols, eps};                             \
    product_body<G, HEAD_TILES>(a, b, {a_scales, b_scales, b_scales}, Output{dst, {}, {}, rows, cols, 0}, depth / 2, \
                    [&](auto &y, int row, int col) INLINE { qk_norm_rope(y, qk, row, rows, col); });                 \
  }

using Large = Grid<2, 1, 256, 4, 1>;
using Square = Grid<3, 1, 192, 4, 1>;
using Medium = Grid<2, 1, 128, 6, 1>;
using Small = Grid<1, 1, 128, 4, 2>;

INT8_GEMM(int8_gemm_wgmma_128x256, Large)
INT8_GEMM(int8_gemm_wgmma_128x128, Medium)
INT8_GEMM(int8_gemm_wgmma_64x128, Small)
INT8_QK_NORM_ROPE(int8_gemm_qk_norm_rope_wgmma_128x128, Medium)
INT8_SWIGLU(int8_swiglu_wgmma_128x256, Large)
INT8_SWIGLU(int8_swiglu_wgmma_192x192, Square)
INT8_SWIGLU(int8_swiglu_wgmma_128x128, Medium)
INT8_SWIGLU(int8_swiglu_wgmma_64x128, Small)
