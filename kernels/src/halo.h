// halo.h convolves a picture that it normalises while loading it: 3×3 over silu(x ⊙ scale + shift), with the rows scale
// and shift that group_norm.cu computes. Nine taps read a value, so normalising it for each of them would be nine times
// the work. Instead a block takes a patch of the result and, for 32 channels at a time, copies it with the pixels
// around it (its halo) once and normalises them in shared memory, where all taps read them. The padding stays zero.
#pragma once
#include "tile.h"

// PATCH is the width of a patch.
static constexpr int PATCH = 16, HALO = PATCH + 2; EXPORT(patch, PATCH)

struct Norm {
  const float *scale, *shift;
  int silu;
};

// Halos has two buffers of BM / PATCH + 2 rows of HALO pixels of BK channels: one is read while the other is filled.
template <class T> struct Halos {
  static constexpr int ROWS = (T::BM / PATCH + 2) * HALO, BYTES = ROWS * T::BK * 2;
  static constexpr int SHARED_BYTES = 2 * BYTES + T::STAGES * T::BN * T::BK * 2;
  static_assert(T::WM % PATCH == 0 && T::SIZE % T::PIECES == 0);
  const bf16 *x;
  int stride, height, width, channels, top, left;

  // inside returns the index in the picture of pixel `row` of the halo, −1 if it lies outside.
  MEMBER int inside(int row) const {
    const int py = top + row / HALO, px = left + row % HALO;
    return (u32)py < (u32)height && (u32)px < (u32)width ? py * width + px : -1;
  }
  MEMBER void load(u32 buffer, int slice) const {
    const int piece = TID % T::PIECES, channel = slice * T::BK + piece * 8;
    UNROLL
    for (int i = 0; i < ROWS; i += T::ROWS) {
      const int row = i + TID / T::PIECES;
      if (row >= ROWS) break;
      const int pixel = inside(row);
      const bool wanted = pixel >= 0 && channel < channels;
      copy_async(buffer + permuted<T::BK>(row, piece), wanted ? x + (i64)pixel * stride + channel : x, wanted ? 16 : 0);
    }
  }
  MEMBER void normalise(u32 buffer, int slice, const Norm &norm) const {
    const int piece = TID % T::PIECES, channel = slice * T::BK + piece * 8;
    if (channel >= channels) return;
    float scale[8], shift[8];
    UNROLL
    for (int i = 0; i < 8; i += 4) {
      const f32x4 a = ldg<f32x4>(norm.scale + channel + i), b = ldg<f32x4>(norm.shift + channel + i);
      UNROLL
      for (int j = 0; j < 4; j++) scale[i + j] = a.v[j], shift[i + j] = b.v[j];
    }
    UNROLL_IF(false)
    for (int row = TID / T::PIECES; row < ROWS; row += T::ROWS) {
      if (inside(row) < 0) continue;
      const u32 at = buffer + permuted<T::BK>(row, piece);
      u32x4 w = load_shared(at);
      UNROLL
      for (int i = 0; i < 4; i++) {
        float low = widen_low(w.v[i]) * scale[2 * i] + shift[2 * i], high = widen_high(w.v[i]) * scale[2 * i + 1] + shift[2 * i + 1];
        if (norm.silu) low = silu(low), high = silu(high);
        w.v[i] = round_pair(low, high);
      }
      store_shared(at, w);
    }
  }
  // of_tap returns the address that a lane passes to ldmatrix for the 16 pixels of line `line` of the patch, at a tap.
  MEMBER u32 of_tap(int line, int tap) const {
    return permuted<T::BK>((line + tap / 3) * HALO + (LANE & 15) + tap % 3, LANE >> 4);
  }
};

// TapFilters copies rows of w, [out, 9·channels], for one tap and slice of channels.
template <class T> struct TapFilters {
  static constexpr int N = T::BN / T::ROWS;
  const bf16 *at[N];
  int channels;

  MEMBER void begin(const bf16 *w, int stride, int from, int out, int depth) {
    UNROLL
    for (int i = 0; i < N; i++) at[i] = w + (i64)min(from + TID / T::PIECES + i * T::ROWS, out - 1) * stride;
    channels = depth;
  }
  MEMBER void load(u32 buffer, int tap, int slice) const {
    const int piece = TID % T::PIECES, channel = slice * T::BK + piece * 8;
    const bool wanted = channel < channels;
    UNROLL
    for (int i = 0; i < N; i++)
      copy_async(buffer + permuted<T::BK>(TID / T::PIECES + i * T::ROWS, piece), at[i] + (wanted ? tap * channels + channel : 0), wanted ? 16 : 0);
  }
};

// Steps counts through the taps of one slice after the other.
struct Steps {
  int tap = 0, slice = 0;

  MEMBER void next() {
    if (++tap == 9) tap = 0, slice++;
  }
};

// multiply_halos adds the products of the nine taps of every slice to acc.
template <class T> DEV void multiply_halos(float (&acc)[T::MI][T::NJ][4], u32 shared, const Halos<T> &halos, const TapFilters<T> &filters, const Norm &norm) {
  constexpr u32 ROW = T::BK * 2, FILTER_BYTES = T::BN * ROW, FILTERS_AT = 2 * Halos<T>::BYTES;
  const int warp_line = WARP / T::WARPS_N * (T::WM / PATCH), slices = (halos.channels + T::BK - 1) / T::BK;
  const u32 b_at = rows_of_b<T::BK>(WARP % T::WARPS_N * T::WN);
  clear<T>(acc);

  const u32 ring = shared + FILTERS_AT, end = ring + T::STAGES * FILTER_BYTES;
  Steps ahead;
  halos.load(shared, 0);
  UNROLL
  for (int s = 0; s < T::STAGES - 1; s++, ahead.next()) {
    filters.load(ring + s * FILTER_BYTES, ahead.tap, ahead.slice);
    copy_async_commit();
  }
  u32 read = ring, write = end - FILTER_BYTES;
  for (Steps step; step.slice < slices; step.next(), ahead.next()) {
    const u32 halo = shared + (step.slice & 1) * Halos<T>::BYTES;
    copy_async_wait<T::STAGES - 2>();
    barrier(); // all copies that this step reads are complete, and no warp still reads what is filled next
    if (ahead.slice < slices) filters.load(write, ahead.tap, ahead.slice);
    if (step.tap == 0 && step.slice + 1 < slices) halos.load(shared + ((step.slice + 1) & 1) * Halos<T>::BYTES, step.slice + 1);
    copy_async_commit();
    if (step.tap == 0) {
      halos.normalise(halo, step.slice, norm);
      barrier();
    }
    u32 a_at[T::MI];
    UNROLL
    for (int i = 0; i < T::MI; i++) a_at[i] = halo + halos.of_tap(warp_line + i, step.tap);
    multiply_slice<T>(
        acc, [&](int i, u32 right) INLINE { return a_at[i] ^ right; },
        [&](int j, u32 right) INLINE { return ((read + b_at) ^ right) + j * 16 * ROW; });
    read = read + FILTER_BYTES == end ? ring : read + FILTER_BYTES;
    write = write + FILTER_BYTES == end ? ring : write + FILTER_BYTES;
  }
}

// InPatch maps the rows of a tile to rows of the result.
struct InPatch {
  int height, width, top, left;

  MEMBER int at(int row) const {
    const int y = top + row / PATCH, x = left + row % PATCH;
    return y < height && x < width ? y * width + x : -1;
  }
};

template <class T, bool WHOLE>
DEV void conv_norm_body(const bf16 *x, int x_stride, const bf16 *w, int w_stride, const Output &out, int height, int width, int channels, const Norm &norm) {
  DYNAMIC_SHARED(shared);
  constexpr int LINES = T::BM / PATCH;
  const int patches_x = (width + PATCH - 1) / PATCH, patches = patches_x * ((height + LINES - 1) / LINES);
  int patch, tile_n;
  tile_at(BLOCK_X, patch, tile_n, patches, (out.cols + T::BN - 1) / T::BN);
  const InPatch at = {height, width, patch / patches_x * LINES, patch % patches_x * PATCH};
  const Halos<T> halos = {x, x_stride, height, width, channels, at.top - 1, at.left - 1};
  TapFilters<T> filters;
  filters.begin(w, w_stride, tile_n * T::BN, out.cols, channels);
  float acc[T::MI][T::NJ][4];
  multiply_halos<T>(acc, shared_address(shared), halos, filters, norm);
  const int row = WARP / T::WARPS_N * T::WM, col = tile_n * T::BN + WARP % T::WARPS_N * T::WN;
  UNROLL
  for (int j = 0; j < T::NJ; j += 4)
    store<T::MI, 1, WHOLE>(out, at, row, col + j * 8, [&](int i, int jj, int k) { return acc[i][j + jj][k]; });
}
