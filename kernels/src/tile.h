// tile.h is what matrix products and convolutions share: a block computes a tile of C[M, N] = A[M, K]·B[N, K]^T.
//
// Slices of A and B, BK columns wide, pass through a ring of STAGES buffers in shared memory. The pieces of 16 bytes of
// a row are permuted there by the row's number, so that neither the copies nor ldmatrix have bank conflicts. Each warp
// multiplies its own WM×WN part of the tile with mma.sync and sums in float32.
//
// Whatever the tile, an element is summed over ascending k in steps of 16 by the same instruction: all tiles give the
// same bits.
//
// Matrices of int8 pass through as if two neighbours were one bfloat16 (src/int8.cu): copies and ldmatrix move bytes, and
// the type of the sums, int instead of float, chooses the instruction that multiplies.
#pragma once
#include "cu.h"

template <int BM_, int BN_, int BK_, int WM_, int WN_, int STAGES_> struct Tile {
  static constexpr int BM = BM_, BN = BN_, BK = BK_, WM = WM_, WN = WN_, STAGES = STAGES_;
  static constexpr int WARPS_N = BN / WN, SIZE = BM / WM * WARPS_N * 32; // SIZE is the number of threads
  static constexpr int MI = WM / 16, NJ = WN / 8;                        // the mma tiles of a warp
  static constexpr int PIECES = BK / 8, ROWS = SIZE / PIECES;            // ROWS rows are copied by all threads at once
  static constexpr int STAGE_BYTES = (BM + BN) * BK * 2, SHARED_BYTES = STAGES * STAGE_BYTES;
  static_assert(WN % 32 == 0 && WM % 16 == 0 && (BK == 32 || BK == 64) && BM % ROWS == 0 && BN % ROWS == 0 && STAGES >= 2);
};

// permuted returns the offset of a piece of a row in a buffer whose rows have BK columns.
template <int BK> DEV u32 permuted(int row, int piece) {
  return row * (BK * 2) + ((piece ^ (BK == 64 ? row & 7 : row >> 1 & 3)) << 4);
}

// fetch8 copies up to count values from p to 16 bytes of shared memory, one at a time; the others become zeros.
DEV void fetch8(u32 dst, const bf16 *p, int count) {
  u32x4 w;
  UNROLL
  for (int i = 0; i < 4; i++) {
    const u32 low = 2 * i < count ? ldg<bf16>(p + 2 * i) : 0, high = 2 * i + 1 < count ? ldg<bf16>(p + 2 * i + 1) : 0;
    w.v[i] = low | high << 16;
  }
  store_shared(dst, w);
}

// fetch copies 16 bytes, of which the first count values are wanted. If ALIGNED, they are all eight or none.
template <bool ALIGNED> DEV void fetch(u32 dst, const bf16 *p, int count) {
  if (ALIGNED)
    copy_async(dst, p, count > 0 ? 16 : 0);
  else
    fetch8(dst, p, count);
}

// Rows copies COUNT rows of a matrix, slice by slice. Past the end it repeats the last row, which is not stored.
template <class T, int COUNT, bool ALIGNED> struct Rows {
  static constexpr int N = COUNT / T::ROWS;
  const bf16 *at[N];
  int left; // columns from this thread's piece to the end
  u32 offset;

  MEMBER void begin(const bf16 *m, int stride, int first, int rows, int cols) {
    const int row = TID / T::PIECES, piece = TID % T::PIECES;
    UNROLL
    for (int i = 0; i < N; i++) at[i] = m + (i64)min(first + row + i * T::ROWS, rows - 1) * stride + piece * 8;
    left = cols - piece * 8;
    offset = permuted<T::BK>(row, piece);
  }
  MEMBER void load(u32 buffer) {
    UNROLL
    for (int i = 0; i < N; i++) {
      fetch<ALIGNED>(buffer + offset + i * T::ROWS * T::BK * 2, at[i], left);
      at[i] += T::BK;
    }
    left -= T::BK;
  }
};

// PairedRows copies rows of gate and of up: of each WN rows, the first half comes from gate and the second from up, so
// that a warp has both values of a column.
template <class T, bool ALIGNED> struct PairedRows {
  static constexpr int N = T::BN / T::ROWS;
  const bf16 *at[N];
  int left;
  u32 offset;

  MEMBER void begin(const bf16 *gate, const bf16 *up, int stride, int first, int rows, int cols) {
    const int row = TID / T::PIECES, piece = TID % T::PIECES;
    UNROLL
    for (int i = 0; i < N; i++) {
      const int r = row + i * T::ROWS, from = first + r / T::WN * (T::WN / 2) + r % (T::WN / 2);
      at[i] = (r % T::WN < T::WN / 2 ? gate : up) + (i64)min(from, rows - 1) * stride + piece * 8;
    }
    left = cols - piece * 8;
    offset = permuted<T::BK>(row, piece);
  }
  MEMBER void load(u32 buffer) {
    UNROLL
    for (int i = 0; i < N; i++) {
      fetch<ALIGNED>(buffer + offset + i * T::ROWS * T::BK * 2, at[i], left);
      at[i] += T::BK;
    }
    left -= T::BK;
  }
};

// clear sets a warp's sums to zero.
template <class T, class N> DEV void clear(N (&acc)[T::MI][T::NJ][4]) {
  UNROLL
  for (int i = 0; i < T::MI; i++) UNROLL for (int j = 0; j < T::NJ; j++) UNROLL for (int k = 0; k < 4; k++) acc[i][j][k] = 0;
}

// rows_of_a and rows_of_b return the offset that a lane passes to ldmatrix for the rows of a slice from `row` on. For A
// the lanes name rows 0 … 15 of the left half, then of the right; for B rows 0 … 7 left and right, then rows 8 … 15.
template <int BK> DEV u32 rows_of_a(int row) { return permuted<BK>(row + (LANE & 15), LANE >> 4); }
template <int BK> DEV u32 rows_of_b(int row) { return permuted<BK>(row + (LANE & 7) + (LANE >> 4 << 3), LANE >> 3 & 1); }

// settle is called for each fragment of the sums after 64 bytes of each row. Only sums that have two parts need it.
template <class N> DEV void settle(N (&)[4]) {}

// multiply_slice adds the product of one slice to a warp's sums. a(i, right) is the address that a lane passes for the
// i-th 16 rows of A, `right` bytes to the right, b(j, right) that for B. Rows are permuted, so it is an exclusive or.
template <class T, class N, class A, class B> DEV void multiply_slice(N (&acc)[T::MI][T::NJ][4], A a, B b) {
  UNROLL
  for (int k = 0; k < T::BK / 16; k++) {
    u32 af[T::MI][4], bf[T::NJ / 2][4];
    UNROLL
    for (int i = 0; i < T::MI; i++) load_matrices(af[i], a(i, k << 5));
    UNROLL
    for (int j = 0; j < T::NJ / 2; j++) load_matrices(bf[j], b(j, k << 5));
    UNROLL
    for (int i = 0; i < T::MI; i++)
      UNROLL
      for (int j = 0; j < T::NJ; j++) {
        multiply_add(acc[i][j], af[i], bf[j / 2][j % 2 * 2], bf[j / 2][j % 2 * 2 + 1]);
        if (k % 2) settle(acc[i][j]);
      }
  }
}

// add_products adds the products of `steps` slices to acc. It asks a and b for one slice after the other.
template <class T, class N, class A, class B> DEV void add_products(N (&acc)[T::MI][T::NJ][4], u32 shared, A &a, B &b, int steps) {
  constexpr u32 B_AT = T::BM * T::BK * 2, ROWS16 = 16 * T::BK * 2;
  const u32 a_at = rows_of_a<T::BK>(WARP / T::WARPS_N * T::WM), b_at = B_AT + rows_of_b<T::BK>(WARP % T::WARPS_N * T::WN);
  UNROLL
  for (int s = 0; s < T::STAGES - 1; s++) {
    if (s < steps) {
      a.load(shared + s * T::STAGE_BYTES);
      b.load(shared + s * T::STAGE_BYTES + B_AT);
    }
    copy_async_commit(); // an empty group if there is no slice: the wait below counts groups
  }
  u32 read = shared, write = shared + (T::STAGES - 1) * T::STAGE_BYTES;
  const u32 end = shared + T::STAGES * T::STAGE_BYTES;
  for (int step = 0; step < steps; step++) {
    copy_async_wait<T::STAGES - 2>();
    barrier(); // the slice has arrived, and no warp still reads the buffer that is filled next
    if (step + T::STAGES - 1 < steps) {
      a.load(write);
      b.load(write + B_AT);
    }
    copy_async_commit();
    multiply_slice<T>(
        acc, [&](int i, u32 right) INLINE { return ((read + a_at) ^ right) + i * ROWS16; },
        [&](int j, u32 right) INLINE { return ((read + b_at) ^ right) + j * ROWS16; });
    read = read + T::STAGE_BYTES == end ? shared : read + T::STAGE_BYTES;
    write = write + T::STAGE_BYTES == end ? shared : write + T::STAGE_BYTES;
  }
}

// multiply stores the products of `steps` slices in acc.
template <class T, class N, class A, class B> DEV void multiply(N (&acc)[T::MI][T::NJ][4], u32 shared, A &a, B &b, int steps) {
  clear<T>(acc);
  add_products<T>(acc, shared, a, b, steps);
}

// transpose4 exchanges word j of lane q with word q of lane j, among each four lanes. Four lanes hold a row of an mma
// tile, two columns each; transposed, one lane holds the eight columns of one tile, 16 bytes.
DEV void transpose4(u32 (&w)[4]) {
  const bool odd = LANE & 1, upper = LANE & 2;
  UNROLL
  for (int j = 0; j < 4; j += 2) {
    const u32 got = shuffle_xor(odd ? w[j] : w[j + 1], 1);
    (odd ? w[j] : w[j + 1]) = got;
  }
  UNROLL
  for (int j = 0; j < 2; j++) {
    const u32 got = shuffle_xor(upper ? w[j] : w[j + 2], 2);
    (upper ? w[j] : w[j + 2]) = got;
  }
}

// Output says how a product y is stored: dst = y + bias, or dst += gate ⊙ (y + bias) if add is set. There is no row
// bias or gate if its data is null.
struct Output {
  Mat dst, bias, gate;
  int rows, cols, add;
};

// row_pairs reads the columns of a row that a lane needs, two of each mma tile, from col on. Behind column `last` it
// repeats the values at `last`, which nothing stores. If there is no row, all values are `absent`.
template <int N> DEV void row_pairs(float (&v)[N][2], Mat m, int col, int last, float absent) {
  if (!m.data) {
    UNROLL
    for (int j = 0; j < N; j++) v[j][0] = v[j][1] = absent;
  } else if (m.f32) {
    f32x2 p[N];
    UNROLL
    for (int j = 0; j < N; j++) p[j] = ldg<f32x2>(m.data + min(col + j * 8, last) * 4);
    UNROLL
    for (int j = 0; j < N; j++) v[j][0] = p[j].v[0], v[j][1] = p[j].v[1];
  } else {
    u32 p[N];
    UNROLL
    for (int j = 0; j < N; j++) p[j] = ldg<u32>(m.data + min(col + j * 8, last) * 2);
    UNROLL
    for (int j = 0; j < N; j++) v[j][0] = widen_low(p[j]), v[j][1] = widen_high(p[j]);
  }
}

// store_whole is store for aligned results. It issues all its reads before it uses the first of them.
template <int MI, int GROUPS, bool ADD, class R, class Y> DEV void store_whole(const Output &out, R rows, int row, int col, Y y) {
  const int lane = LANE, q = lane & 3, last = out.cols - 8 + q * 2;
  float bias[GROUPS * 4][2], gate[GROUPS * 4][2];
  u32x4 old[GROUPS][MI][2];
  row_pairs(bias, out.bias, col + q * 2, last, 0);
  if (ADD) {
    row_pairs(gate, out.gate, col + q * 2, last, 1);
    UNROLL
    for (int g = 0; g < GROUPS; g++)
      UNROLL
      for (int i = 0; i < MI; i++)
        UNROLL
        for (int half = 0; half < 2; half++) {
          const int r = rows.at(row + i * 16 + half * 8 + (lane >> 2)), c = col + g * 32 + q * 8;
          old[g][i][half] = {};
          if (r >= 0 && c < out.cols) old[g][i][half] = ldg<u32x4>(out.dst.data + ((i64)r * out.dst.stride + c) * 2);
        }
  }
  UNROLL
  for (int g = 0; g < GROUPS; g++)
    UNROLL
    for (int i = 0; i < MI; i++)
      UNROLL
      for (int half = 0; half < 2; half++) {
        const int r = rows.at(row + i * 16 + half * 8 + (lane >> 2)), c = col + g * 32 + q * 8;
        u32x4 w;
        if (ADD) {
          w = old[g][i][half];
          transpose4(w.v);
        }
        UNROLL
        for (int j = 0; j < 4; j++) {
          float low = y(i, g * 4 + j, half * 2) + bias[g * 4 + j][0], high = y(i, g * 4 + j, half * 2 + 1) + bias[g * 4 + j][1];
          if (ADD) {
            low = low * gate[g * 4 + j][0] + widen_low(w.v[j]);
            high = high * gate[g * 4 + j][1] + widen_high(w.v[j]);
          }
          w.v[j] = round_pair(low, high);
        }
        transpose4(w.v);
        if (r >= 0 && c < out.cols) stg(out.dst.data + ((i64)r * out.dst.stride + c) * 2, w);
      }
}

// InOrder maps rows of tiles to rows of the result, −1 for none, as most results need it.
struct InOrder {
  int rows;

  MEMBER int at(int row) const { return row < rows ? row : -1; }
};

// store writes MI·16 rows and GROUPS·32 columns from (row, col) on. y(i, j, k) is element k of mma tile (i, j), and
// rows.at maps a row of the tile to a row of the result. With WHOLE, dst is bfloat16, its rows start at multiples of 16
// bytes and have a multiple of 8 columns, and bias and gate start at multiples of 8 bytes. Otherwise the values are
// stored one by one.
template <int MI, int GROUPS, bool WHOLE, class R, class Y> DEV void store(const Output &out, R rows, int row, int col, Y y) {
  if constexpr (WHOLE) {
    if (out.add)
      store_whole<MI, GROUPS, true>(out, rows, row, col, y);
    else
      store_whole<MI, GROUPS, false>(out, rows, row, col, y);
  } else {
    const int lane = LANE, q = lane & 3;
    UNROLL
    for (int j = 0; j < GROUPS * 4; j++)
      UNROLL
      for (int c = 0; c < 2; c++) {
        const int at = col + j * 8 + q * 2 + c;
        if (at >= out.cols) continue;
        const float bias = out.bias.data ? load1(out.bias, 0, at) : 0, gate = out.gate.data ? load1(out.gate, 0, at) : 1;
        UNROLL
        for (int i = 0; i < MI; i++)
          UNROLL
          for (int half = 0; half < 2; half++) {
            const int r = rows.at(row + i * 16 + half * 8 + (lane >> 2));
            if (r < 0) continue;
            const float v = y(i, j, half * 2 + c) + bias;
            store1(out.add ? v * gate + load1(out.dst, r, at) : v, out.dst, r, at);
          }
      }
  }
}

// tile_at orders the tiles so that those that run at the same time share rows of A and of B: in bands of BAND tile
// rows, column by column within a band.
DEV void tile_at(int index, int &tile_m, int &tile_n, int tiles_m, int tiles_n) {
  constexpr int BAND = 8;
  const int per_band = BAND * tiles_n, band = index / per_band, within = index % per_band;
  const int height = min(BAND, tiles_m - band * BAND);
  tile_m = band * BAND + within % height;
  tile_n = within / height;
}
