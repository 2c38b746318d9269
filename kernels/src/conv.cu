// Convolutions of a picture x [height·width, channels], rows in raster order, with a kernel of 1×1, or of 3×3 and zero
// padding of one, as a matrix product whose left operand is never stored: C[pixel, out] = Σ over taps and channels of
// x[pixel + tap, channel]·w[out, tap, channel], then bias and residual: see Output in tile.h.
//
//   upsample     x is doubled by nearest neighbour first, in the indices only
//   downsample   stride 2; the padding is one row below and one column on the right only
//
// x and w are bfloat16, w is [out, taps·channels]. A block computes a tile. The name of a kernel gives its tile as
// pixels × output channels. A slice is 32 channels of a tap; _deep kernels hold four slices, not three. Rows of x, w
// and dst start at multiples of 16 bytes and their widths are multiples of 8. conv_128x32 stores dst one value at a
// time, at any address, and conv_any loads one value at a time too.
//
// conv_norm is the 3×3 convolution of a picture that halo.h normalises while loading it. conv_norm_128x32 stores as
// conv_128x32 does.
// Rate: the limit is mma.sync; each pixel is read nine times, eight of them from the L2 cache.
#include "halo.h"

using Large = Tile<256, 128, 32, 64, 64, 3>;
template <int STAGES> using Medium = Tile<128, 128, 32, 64, 64, STAGES>;
using Narrow = Tile<128, 32, 32, 32, 32, 4>;
using Any = Tile<64, 64, 32, 32, 32, 2>;

// Shape describes the convolution. out_width and pixels describe the result; kernel is 1 or 3.
struct Shape {
  int height, width, channels, out_width, pixels, kernel, upsample, downsample;
};

// Pixels copies the rows of x that a tile's pixels need, a slice of channels of a tap at a time.
template <class T, bool ALIGNED> struct Pixels {
  static constexpr int N = T::BM / T::ROWS;
  const bf16 *x;
  int stride, height, width, channels, kernel, halve;
  int y0[N], x0[N]; // the first tap's place in the picture that is convolved, which upsample doubles
  int tap_y, tap_x, channel, first; // first is the first channel of the thread's piece
  u32 offset;

  MEMBER void begin(const bf16 *picture, int row_stride, const Shape &s, int from) {
    const int row = TID / T::PIECES, piece = TID % T::PIECES, step = s.downsample ? 2 : 1, pad = s.downsample ? 0 : s.kernel / 2;
    x = picture, stride = row_stride, channels = s.channels, kernel = s.kernel, halve = s.upsample ? 1 : 0;
    height = s.height << halve, width = s.width << halve;
    UNROLL
    for (int i = 0; i < N; i++) {
      const int p = min(from + row + i * T::ROWS, s.pixels - 1);
      y0[i] = p / s.out_width * step - pad, x0[i] = p % s.out_width * step - pad;
    }
    tap_y = tap_x = 0, first = channel = piece * 8;
    offset = permuted<T::BK>(row, piece);
  }
  MEMBER void load(u32 buffer) {
    UNROLL
    for (int i = 0; i < N; i++) {
      const int py = y0[i] + tap_y, px = x0[i] + tap_x;
      const bool inside = (u32)py < (u32)height && (u32)px < (u32)width;
      const i64 pixel = inside ? (py >> halve) * (width >> halve) + (px >> halve) : 0;
      fetch<ALIGNED>(buffer + offset + i * T::ROWS * T::BK * 2, x + pixel * stride + (channel < channels ? channel : 0), inside ? channels - channel : 0);
    }
    channel += T::BK;
    if (channel - first >= channels) {
      channel = first;
      if (++tap_x == kernel) tap_x = 0, tap_y++;
    }
  }
};

// Filters copies the rows of w in the same order.
template <class T, bool ALIGNED> struct Filters {
  static constexpr int N = T::BN / T::ROWS;
  const bf16 *at[N];
  int channels, channel, first;
  u32 offset;

  MEMBER void begin(const bf16 *w, int stride, const Shape &s, int from, int out) {
    const int row = TID / T::PIECES, piece = TID % T::PIECES;
    UNROLL
    for (int i = 0; i < N; i++) at[i] = w + (i64)min(from + row + i * T::ROWS, out - 1) * stride;
    channels = s.channels, first = channel = piece * 8;
    offset = permuted<T::BK>(row, piece);
  }
  MEMBER void load(u32 buffer) {
    UNROLL
    for (int i = 0; i < N; i++) fetch<ALIGNED>(buffer + offset + i * T::ROWS * T::BK * 2, at[i] + (channel < channels ? channel : 0), channels - channel);
    channel += T::BK;
    if (channel - first >= channels) {
      channel = first;
      UNROLL
      for (int i = 0; i < N; i++) at[i] += channels;
    }
  }
};

template <class T, bool ALIGNED, bool WHOLE>
DEV void conv_body(const bf16 *x, int x_stride, const bf16 *w, int w_stride, const Output &out, const Shape &s) {
  DYNAMIC_SHARED(shared);
  int tile_m, tile_n;
  tile_at(BLOCK_X, tile_m, tile_n, (out.rows + T::BM - 1) / T::BM, (out.cols + T::BN - 1) / T::BN);
  Pixels<T, ALIGNED> pixels;
  Filters<T, ALIGNED> filters;
  pixels.begin(x, x_stride, s, tile_m * T::BM);
  filters.begin(w, w_stride, s, tile_n * T::BN, out.cols);
  float acc[T::MI][T::NJ][4];
  multiply<T>(acc, shared_address(shared), pixels, filters, s.kernel * s.kernel * ((s.channels + T::BK - 1) / T::BK));
  const int row = tile_m * T::BM + WARP / T::WARPS_N * T::WM, col = tile_n * T::BN + WARP % T::WARPS_N * T::WN;
  UNROLL
  for (int j = 0; j < T::NJ; j += 4)
    store<T::MI, 1, WHOLE>(out, InOrder{out.rows}, row, col + j * 8, [&](int i, int jj, int k) { return acc[i][j + jj][k]; });
}

#define CONV(name, T, ALIGNED, WHOLE, BLOCKS)                                                                        \
  KERNEL THREADS(T::SIZE, BLOCKS) TILE_OF(T, T::BN, takes(ALIGNED, WHOLE)) void name(                                \
      const bf16 *x, int x_stride, const bf16 *w, int w_stride, PLAIN(dst), PLAIN(bias), int rows, int cols,         \
      int add, int height, int width, int channels, int out_width, int kernel, int upsample, int downsample) {       \
    conv_body<T, ALIGNED, WHOLE>(x, x_stride, w, w_stride, {MAT(dst), MAT(bias), {}, rows, cols, add},               \
                                 {height, width, channels, out_width, rows, kernel, upsample, downsample});          \
  }

CONV(conv_256x128, Large, true, true, 1)
CONV(conv_128x128, Medium<3>, true, true, 2)
CONV(conv_128x128_deep, Medium<4>, true, true, 2)
CONV(conv_128x32, Narrow, true, false, 2)
CONV(conv_any, Any, false, false, 2)

#define CONV_NORM(name, T, WHOLE, BLOCKS) KERNEL THREADS(T::SIZE, BLOCKS)                                            \
  TILE(T::BM, T::BN, T::BK, T::STAGES, Halos<T>::SHARED_BYTES, takes(true, WHOLE)) void name(const bf16 *x,          \
      int x_stride, const bf16 *w, int w_stride, PLAIN(dst), PLAIN(bias), int rows, int cols, int add, int height,   \
      int width, int channels, const float *scale, const float *shift, int silu) {                                   \
    const Output out = {MAT(dst), MAT(bias), {}, rows, cols, add};                                                   \
    conv_norm_body<T, WHOLE>(x, x_stride, w, w_stride, out, height, width, channels, {scale, shift, silu}); }

CONV_NORM(conv_norm_256x128, Large, true, 1)
CONV_NORM(conv_norm_128x128, Medium<3>, true, 2)
CONV_NORM(conv_norm_128x32, Narrow, false, 2)
