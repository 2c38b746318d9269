// Elementwise operations on matrices with row strides, float32 or bfloat16 each.
//
//   copy        y = x
//   add_scaled  y = a + s·b               lerp     y = a + s·(b − a)
//   affine      y = x ⊙ scale + shift with rows scale and shift, and SiLU of that where asked
//   embedding   y[i] = table[ids[i]]
//   patchify    y[py·w/2 + px, c·4 + dy·2 + dx] = x[(2·py + dy)·w + 2·px + dx, c]; unpatchify is the inverse
//   rgb8        y = round(255·clamp(x/2 + 1/2, 0, 1)) for three columns
//   taps        y[i, b, a] = x[i, a, b]: weights of convolutions, from [out, in, taps] to [out, taps, in]
//
// A thread takes eight columns of a row (patchify, rgb8 and taps: one value); blocks of 256 cover rows × columns
// in raster order. The plain kernels want rows that start at multiples of 16 bytes and widths that are multiples of 8;
// the _any kernels take everything, one value at a time.
//
// Bound by memory: the bytes of the operands over the card's bandwidth.
#include "cu.h"

DEV bool place(i64 &row, int &col, int rows, int cols) {
  const u32 chunks = (u32)(cols + 7) / 8, i = (u32)BLOCK_X * 256 + TID;
  row = i / chunks;
  col = (int)(i % chunks) * 8;
  return row < rows;
}

// each8 stores what op makes of y for the thread's eight columns.
template <bool ALIGNED, typename Op> DEV void each8(Mat dst, int rows, int cols, Op op) {
  i64 row;
  int col;
  if (!place(row, col, rows, cols)) return;
  float y[8];
  op(y, row, col);
  store8<ALIGNED>(y, dst, row, col, cols);
}

template <bool ALIGNED> DEV void copy_body(Mat dst, Mat x, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) { load8<ALIGNED>(y, x, row, col, cols); });
}
template <bool ALIGNED> DEV void add_scaled_body(Mat dst, Mat a, Mat b, int rows, int cols, float s) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float q[8];
    load8<ALIGNED>(y, a, row, col, cols);
    load8<ALIGNED>(q, b, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] += s * q[i];
  });
}
template <bool ALIGNED> DEV void lerp_body(Mat dst, Mat a, Mat b, int rows, int cols, float s) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float q[8];
    load8<ALIGNED>(y, a, row, col, cols);
    load8<ALIGNED>(q, b, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] += s * (q[i] - y[i]);
  });
}
template <bool ALIGNED> DEV void affine_body(Mat dst, Mat x, Mat scale, Mat shift, int rows, int cols, int with_silu) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float p[8], q[8];
    load8<ALIGNED>(y, x, row, col, cols);
    load8<ALIGNED>(p, scale, 0, col, cols);
    load8<ALIGNED>(q, shift, 0, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] = y[i] * p[i] + q[i];
    if (with_silu) {
      UNROLL
      for (float &v : y) v = silu(v);
    }
  });
}
template <bool ALIGNED> DEV void embedding_body(Mat dst, Mat table, const int *ids, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) { load8<ALIGNED>(y, table, ldg<int>(ids + row), col, cols); });
}

#define BOTH(name, params, ...)                                                                                        \
  KERNEL THREADS(256, 1) void name params { name##_body<true>(__VA_ARGS__); }                                          \
  KERNEL THREADS(256, 1) void name##_any params { name##_body<false>(__VA_ARGS__); }

BOTH(copy, (Mat dst, Mat x, int rows, int cols), dst, x, rows, cols)
BOTH(add_scaled, (Mat dst, Mat a, Mat b, int rows, int cols, float s), dst, a, b, rows, cols, s)
BOTH(lerp, (Mat dst, Mat a, Mat b, int rows, int cols, float s), dst, a, b, rows, cols, s)
BOTH(affine, (Mat dst, Mat x, Mat scale, Mat shift, int rows, int cols, int with_silu), dst, x, scale, shift, rows, cols, with_silu)
BOTH(embedding, (Mat dst, Mat table, const int *ids, int rows, int cols), dst, table, ids, rows, cols)

// pixel_of returns the row of the larger grid for a patch and dy·2 + dx.
DEV i64 pixel_of(u32 patch, u32 sub, u32 width) {
  const u32 y = 2 * (patch / (width / 2)) + sub / 2, x = 2 * (patch % (width / 2)) + sub % 2;
  return (i64)y * width + x;
}

// rows and cols are of the side with fewer, wider rows: the patches.
KERNEL THREADS(256, 1) void patchify(Mat dst, Mat x, int rows, int cols, int width) {
  const u32 i = (u32)BLOCK_X * 256 + TID, patch = i / cols, col = i % cols;
  if (patch < rows) store1(load1(x, pixel_of(patch, col % 4, width), col / 4), dst, patch, col);
}
KERNEL THREADS(256, 1) void unpatchify(Mat dst, Mat x, int rows, int cols, int width) {
  const u32 i = (u32)BLOCK_X * 256 + TID, patch = i / cols, col = i % cols;
  if (patch < rows) store1(load1(x, patch, col), dst, pixel_of(patch, col % 4, width), col / 4);
}

// A value exactly between two colours goes to the even one, NaN to 0.
KERNEL THREADS(256, 1) void rgb8(u8 *dst, Mat x, int rows) {
  const u32 i = (u32)BLOCK_X * 256 + TID;
  if (i / 3 >= rows) return;
  const float v = load1(x, i / 3, i % 3) * 127.5f + 127.5f;
  stg(dst + i, (u8)__builtin_rintf(v > 0 ? min(v, 255.0f) : 0));
}

KERNEL THREADS(256, 1) void taps(bf16 *dst, Mat x, int count, int a, int b) {
  const u64 i = (u64)BLOCK_X * 256 + TID;
  const u32 row = (u32)(i / (u32)(a * b)), rest = (u32)(i % (u32)(a * b));
  if (row >= count) return;
  stg(dst + i, round_bf16(load1(x, row, (rest % a) * b + rest / a)));
}
