// Matrix products on sm_90a: gemm, gemm_qk_norm_rope and swiglu of gemm.cu, for operands that its STRICT kernels take.
//
// grid.h says how a block walks over tiles. The name of a kernel gives the size of its tile as rows × columns; for
// swiglu the columns are those of G and U together. Two blocks of a _two_blocks kernel share a multiprocessor. Columns
// of B, G and U from `split` on, a multiple of 64, come from a second tensor.
//
// Rate: wgmma is the limit if M and N fill the card; if there are few rows, it is reading B at the card's bandwidth.
#include "grid.h"
#include "qk_norm_rope.h"

// gemm_body calls change(acc, row, col) before it stores the sums of 64 rows. A warp's first sum is element (row, col).
template <class G, class Change>
DEV void gemm_body(const TensorMap &a, const TensorMap &b, const TensorMap &beside, const Output &out, int depth, int split, Change change) {
  run<G, float>(
      (out.rows + G::BM - 1) / G::BM, (out.cols + G::BN - 1) / G::BN, (depth + PANEL - 1) / PANEL,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int step) {
        copy_box(slice, a, full, step * PANEL, tile_m * G::BM);
        const int col = step * PANEL;
        if (col < split)
          copy_box(slice + G::A_BYTES, b, full, col, tile_n * G::BN);
        else
          copy_box(slice + G::A_BYTES, beside, full, col - split, tile_n * G::BN);
      },
      [&](float(&acc)[G::NJ][4], int row, int tile_n) INLINE {
        change(acc, row, tile_n * G::BN);
        UNROLL
        for (int j = 0; j < G::NJ; j += 4 * G::GROUPS)
          store<1, G::GROUPS, true>(out, InOrder{out.rows}, row, tile_n * G::BN + j * 8, [&](int, int jj, int k) INLINE { return acc[j + jj][k]; });
      });
}

template <class G>
DEV void swiglu_body(const TensorMap &a, const TensorMap &gate, const TensorMap &up, const TensorMap &gate_beside, const TensorMap &up_beside,
                     const Output &out, int depth, int split) {
  constexpr int HALF = G::BN / 2;
  run<G, float>(
      (out.rows + G::BM - 1) / G::BM, (out.cols + HALF - 1) / HALF, (depth + PANEL - 1) / PANEL,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int step) {
        copy_box(slice, a, full, step * PANEL, tile_m * G::BM);
        const int col = step * PANEL;
        const u32 first = slice + G::A_BYTES, second = first + HALF * PANEL_ROW;
        if (col < split) {
          copy_box(first, gate, full, col, tile_n * HALF);
          copy_box(second, up, full, col, tile_n * HALF);
        } else {
          copy_box(first, gate_beside, full, col - split, tile_n * HALF);
          copy_box(second, up_beside, full, col - split, tile_n * HALF);
        }
      },
      [&](float(&acc)[G::NJ][4], int row, int tile_n) INLINE {
        UNROLL
        for (int j = 0; j < HALF / 8; j += 4)
          store<1, 1, true>(out, InOrder{out.rows}, row, tile_n * HALF + j * 8,
                            [&](int, int jj, int k) INLINE { return silu(acc[j + jj][k]) * acc[j + jj + HALF / 8][k]; });
      });
}

#define GEMM(name, G)                                                                                                \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF(G, G::BN, STRICT) void name(                                            \
      TENSOR a, TENSOR b, TENSOR beside, Mat dst, Mat bias, Mat gate, int rows, int cols, int add, int depth,        \
      int split) {                                                                                                   \
    gemm_body<G>(a, b, beside, Output{dst, bias, gate, rows, cols, add}, depth, split, [](auto &, int, int) INLINE {}); \
  }
#define SWIGLU(name, G)                                                                                              \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF(G, G::BN / 2, STRICT) void name(                                        \
      TENSOR a, TENSOR gate, TENSOR up, TENSOR gate_beside, TENSOR up_beside, Mat dst, int rows, int cols,           \
      int depth, int split) {                                                                                        \
    swiglu_body<G>(a, gate, up, gate_beside, up_beside, Output{dst, {}, {}, rows, cols, 0}, depth, split);           \
  }
#define QK_NORM_ROPE(name, G)                                                                                        \
  KERNEL THREADS(G::SIZE, G::BLOCKS) TILE_OF(G, G::BN, STRICT) void name(                                            \
      TENSOR a, TENSOR b, TENSOR beside, Mat dst, int rows, int cols, int depth, int split, Mat w, const float *cos, \
      const float *sin, int cos_stride, int sin_stride, int halves, int head_cols, float eps) {                      \
    const QKNormRoPE qk = {w, cos, sin, cos_stride, sin_stride, halves, head_cols, eps};                             \
    gemm_body<G>(a, b, beside, Output{dst, {}, {}, rows, cols, 0}, depth, split,                                     \
                           [&](auto &acc, int row, int col) INLINE { qk_norm_rope(acc, qk, row, rows, col); });      \
  }

using Large = Grid<2, 1, 256, 4, 1>;
using Square = Grid<3, 1, 192, 4, 1>;
using Medium = Grid<2, 1, 128, 6, 1>;
using TwoBlocks = Grid<1, 2, 128, 3, 2>;
using Small = Grid<1, 1, 128, 4, 2>;

GEMM(gemm_wgmma_128x256, Large)
GEMM(gemm_wgmma_192x192, Square)
GEMM(gemm_wgmma_128x128, Medium)
GEMM(gemm_wgmma_128x128_two_blocks, TwoBlocks)
GEMM(gemm_wgmma_64x128, Small)
QK_NORM_ROPE(gemm_qk_norm_rope_wgmma_128x256, Large)
QK_NORM_ROPE(gemm_qk_norm_rope_wgmma_128x128, Medium)
QK_NORM_ROPE(gemm_qk_norm_rope_wgmma_64x128, Small)
SWIGLU(swiglu_wgmma_128x256, Large)
SWIGLU(swiglu_wgmma_192x192, Square)
SWIGLU(swiglu_wgmma_128x128, Medium)
SWIGLU(swiglu_wgmma_128x128_two_blocks, TwoBlocks)
SWIGLU(swiglu_wgmma_64x128, Small)
