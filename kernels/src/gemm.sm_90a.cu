// Matrix products on sm_90a: gemm and swiglu of gemm.cu, for operands as its aligned kernels take them.
//
// A block stays on its multiprocessor and takes tile after tile, so that the copies of the next tile run while the last one
// is being stored. A slice is 64 columns of A and of B; a tile has 64 rows for each consumer and BN columns, with swiglu's
// before they are halved.
//
// Whatever the tile, an element is summed over ascending k in steps of 16 by wgmma: all shapes give the same bits.
//
// Rate: bound by wgmma where M and N fill the card; with few rows by the bytes of B over the bandwidth.
#include "hopper.h"
#include "tile.h"

// Grid says how a block is made: a consumer has MI times 64 rows of the tile, a multiprocessor BLOCKS blocks. Of twins, one
// multiplies while the other stores.
template <int CONSUMERS_, int MI_, int BN_, int STAGES_, int BLOCKS_> struct Grid {
  static constexpr int CONSUMERS = CONSUMERS_, MI = MI_, BM = 64 * MI * CONSUMERS, BN = BN_, NJ = BN / 8, STAGES = STAGES_, BLOCKS = BLOCKS_;
  static constexpr int SIZE = (CONSUMERS + 1) * WARPGROUP;
  static constexpr int A_BYTES = BM * PANEL_ROW, STAGE_BYTES = A_BYTES + BN * PANEL_ROW;
  // What a thread has at first, what the producer keeps, and what that leaves for the others.
  static constexpr int REGISTERS = 65536 / (SIZE * BLOCKS) / 8 * 8, SPARE = 40;
  static constexpr int MOST = (REGISTERS * (CONSUMERS + 1) - SPARE) / CONSUMERS / 8 * 8, OWN = MOST < 240 ? MOST : 240;
  // Groups of 32 columns whose reads are under way together when a tile is stored, as registers allow.
  static constexpr int GROUPS = MI * BN == 256 ? 2 : 4;
};

// Barriers of a ring: full ones, then empty ones, behind the buffers.
template <class G> struct Pipeline {
  u32 buffers;

  MEMBER u32 full(int slot) const { return buffers + G::STAGES * G::STAGE_BYTES + slot * 8; }
  MEMBER u32 empty(int slot) const { return full(G::STAGES + slot); }
  MEMBER u32 slice(int slot) const { return buffers + slot * G::STAGE_BYTES; }
  MEMBER void begin() const {
    if (TID == 0) {
      UNROLL
      for (int s = 0; s < G::STAGES; s++) {
        mbarrier_init(full(s), 1);
        mbarrier_init(empty(s), G::CONSUMERS * 4);
      }
      mbarriers_ready();
    }
    barrier();
  }
};

// run walks over the block's tiles: the producer calls load(slice, full, tile_m, tile_n, column) for each slice, consumers
// done(acc, row, tile_n) for each 64 rows of a tile, row being the warp's first. tile_columns is what a tile has of the result's columns.
template <class G, class Load, class Done> DEV void run(const Output &out, int depth, int tile_columns, Load load, Done done) {
  extern SHARED __attribute__((aligned(1024))) u8 panels[];
  const Pipeline<G> pipe = {shared_address(panels)};
  const int tiles_m = (out.rows + G::BM - 1) / G::BM, tiles_n = (out.cols + tile_columns - 1) / tile_columns, steps = (depth + PANEL - 1) / PANEL;
  pipe.begin();
  Ring<G::STAGES> ring;
  int tile_m, tile_n;
  if (WARP >= G::CONSUMERS * 4) {
    registers_down<G::SPARE>();
    if (TID == G::CONSUMERS * WARPGROUP)
      for (int tile = BLOCK_X; tile < tiles_m * tiles_n; tile += BLOCKS_X) {
        tile_at(tile, tile_m, tile_n, tiles_m, tiles_n);
        for (int step = 0; step < steps; step++, ring.next()) {
          mbarrier_wait(pipe.empty(ring.slot), ring.parity ^ 1);
          mbarrier_expect(pipe.full(ring.slot), G::STAGE_BYTES);
          load(pipe.slice(ring.slot), pipe.full(ring.slot), tile_m, tile_n, step * PANEL);
        }
      }
  } else {
    registers_up<G::OWN>();
    const u32 own = WARP / 4 * G::MI * 64 * PANEL_ROW;
    float acc[G::MI][G::NJ][4];
    for (int tile = BLOCK_X; tile < tiles_m * tiles_n; tile += BLOCKS_X) {
      u32 used = 0;
      for (int step = 0; step < steps; step++, ring.next()) {
        mbarrier_wait(pipe.full(ring.slot), ring.parity);
        const u32 a = pipe.slice(ring.slot) + own, b = pipe.slice(ring.slot) + G::A_BYTES;
        UNROLL
        for (int i = 0; i < G::MI; i++) hold(acc[i]);
        products_begin();
        UNROLL
        for (int k = 0; k < PANEL / 16; k++)
          UNROLL
          for (int i = 0; i < G::MI; i++) multiply_panels(acc[i], by_rows(a + i * 64 * PANEL_ROW + k * 32), by_rows(b + k * 32), step + k > 0);
        products_commit();
        products_wait<1>(); // the slice before has been read
        if (step > 0 && LANE == 0) mbarrier_arrive(used);
        used = pipe.empty(ring.slot);
      }
      products_wait<0>();
      UNROLL
      for (int i = 0; i < G::MI; i++) hold(acc[i]);
      if (LANE == 0) mbarrier_arrive(used);
      tile_at(tile, tile_m, tile_n, tiles_m, tiles_n);
      UNROLL
      for (int i = 0; i < G::MI; i++) done(acc[i], tile_m * G::BM + (WARP / 4 * G::MI + i) * 64 + WARP % 4 * 16, tile_n);
    }
  }
}

template <class G> DEV void gemm_body(const TensorMap &a, const TensorMap &b, const Output &out, int depth) {
  run<G>(
      out, depth, G::BN,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int column) {
        copy_box(slice, a, full, column, tile_m * G::BM);
        copy_box(slice + G::A_BYTES, b, full, column, tile_n * G::BN);
      },
      [&](float(&acc)[G::NJ][4], int row, int tile_n) INLINE {
        UNROLL
        for (int j = 0; j < G::NJ; j += 4 * G::GROUPS)
          store<1, G::GROUPS, true>(out, row, tile_n * G::BN + j * 8, [&](int, int jj, int k) INLINE { return acc[j + jj][k]; });
      });
}

template <class G> DEV void swiglu_body(const TensorMap &a, const TensorMap &gate, const TensorMap &up, const Output &out, int depth) {
  constexpr int HALF = G::BN / 2;
  run<G>(
      out, depth, HALF,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int column) {
        copy_box(slice, a, full, column, tile_m * G::BM);
        copy_box(slice + G::A_BYTES, gate, full, column, tile_n * HALF);
        copy_box(slice + G::A_BYTES + HALF * PANEL_ROW, up, full, column, tile_n * HALF);
      },
      [&](float(&acc)[G::NJ][4], int row, int tile_n) INLINE {
        UNROLL
        for (int j = 0; j < HALF / 8; j += 4)
          store<1, 1, true>(out, row, tile_n * HALF + j * 8,
                            [&](int, int jj, int k) INLINE { return silu(acc[j + jj][k]) * acc[j + jj + HALF / 8][k]; });
      });
}

#define GEMM(name, ...)                                                                                                                    \
  KERNEL THREADS(__VA_ARGS__::SIZE, __VA_ARGS__::BLOCKS) void name(TENSOR a, TENSOR b, Mat dst, Mat bias, Mat gate, int rows, int cols,     \
                                                                   int add, int depth) {                                                   \
    gemm_body<__VA_ARGS__>(a, b, Output{dst, bias, gate, rows, cols, add}, depth);                                                         \
  }
#define SWIGLU(name, ...)                                                                                                                  \
  KERNEL THREADS(__VA_ARGS__::SIZE, __VA_ARGS__::BLOCKS) void name(TENSOR a, TENSOR gate, TENSOR up, Mat dst, int rows, int cols, int depth) { \
    swiglu_body<__VA_ARGS__>(a, gate, up, Output{dst, {}, {}, rows, cols, 0}, depth);                                                      \
  }

using Large = Grid<2, 1, 256, 4, 1>;
using Medium = Grid<2, 1, 128, 6, 1>;
using Twin = Grid<1, 2, 128, 3, 2>;
using Small = Grid<1, 1, 128, 4, 2>;

GEMM(gemm_wgmma_128x256, Large)
GEMM(gemm_wgmma_128x128, Medium)
GEMM(gemm_wgmma_128x128_twin, Twin)
GEMM(gemm_wgmma_64x128, Small)
SWIGLU(swiglu_wgmma_128x256, Large)
SWIGLU(swiglu_wgmma_128x128, Medium)
SWIGLU(swiglu_wgmma_128x128_twin, Twin)
SWIGLU(swiglu_wgmma_64x128, Small)
