// grid.h is what matrix products and convolutions on sm_90a share: a block stays on its multiprocessor and computes one
// tile of C[M, N] = A[M, K]·B[N, K]^T after the other, so that the copies for the next tile run while the last is
// stored. A slice is 64 columns of A and of B.
//
// Whatever the tile, an element is summed over ascending k in steps of 16 by wgmma: all tiles give the same bits.
#pragma once
#include "hopper.h"
#include "tile.h"

// Grid describes a block: a consumer has MI times 64 rows of the tile, a multiprocessor has BLOCKS blocks. If there are
// two, one multiplies while the other stores.
template <int CONSUMERS_, int MI_, int BN_, int STAGES_, int BLOCKS_> struct Grid {
  static constexpr int CONSUMERS = CONSUMERS_, MI = MI_, BM = 64 * MI * CONSUMERS, BN = BN_, NJ = BN / 8, STAGES = STAGES_, BLOCKS = BLOCKS_;
  static constexpr int SIZE = (CONSUMERS + 1) * WARPGROUP;
  static constexpr int BK = PANEL, A_BYTES = BM * PANEL_ROW, STAGE_BYTES = A_BYTES + BN * PANEL_ROW, SHARED_BYTES = STAGES * (STAGE_BYTES + 16);
  // REGISTERS is what a thread has at first, SPARE what the producer keeps, OWN what a consumer gets then.
  static constexpr int REGISTERS = 65536 / (SIZE * BLOCKS) / 8 * 8, SPARE = CONSUMERS == 3 ? 24 : 40;
  static constexpr int MOST = (REGISTERS * (CONSUMERS + 1) - SPARE) / CONSUMERS / 8 * 8, OWN = MOST < 240 ? MOST : 240;
  // GROUPS of 32 columns are read at the same time when a tile is stored, as many as the registers hold.
  static constexpr int GROUPS = CONSUMERS == 3 ? 1 : MI * BN == 256 ? 2 : 4;
};

// Pipeline is the ring of buffers, and behind them the barriers: first all full ones, then all empty ones.
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

// run walks over the tiles of the block. The producer calls load(slice, full, tile_m, tile_n, step) for each slice. A
// consumer, whose sums are of type N, calls done(acc, row, tile_n) for each 64 rows of a tile; row is the first row of the
// warp.
template <class G, class N, class Load, class Done> DEV void run(int tiles_m, int tiles_n, int steps, Load load, Done done) {
  extern SHARED __attribute__((aligned(1024))) u8 panels[];
  const Pipeline<G> pipe = {shared_address(panels)};
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
          load(pipe.slice(ring.slot), pipe.full(ring.slot), tile_m, tile_n, step);
        }
      }
  } else {
    registers_up<G::OWN>();
    const u32 own = WARP / 4 * G::MI * 64 * PANEL_ROW;
    N acc[G::MI][G::NJ][4];
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
        products_wait<1>(); // the slice before this one has been read
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
