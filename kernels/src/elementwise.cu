// Elementwise operations on matrices with row strides, each float32 or bfloat16.
//
//   copy        y = x
//   add_scaled  y = a + s·b               lerp     y = a + s·(b − a)
//   silu_mul    y = silu(a) ⊙ b          relu     y = max(x, 0)
//   silu_only   y = silu(x) = x·sigmoid(x)
//   prelu       y = x where x ≥ 0, else x ⊙ slope with the row slope
//   centred_gate  y = (a + b) ⊙ (sigmoid(b) − 1/2)
//   affine      y = x ⊙ scale + shift with rows scale and shift, or SiLU of that
//   patchify    y[py·w/n + px, c·n² + dy·n + dx] = x[(n·py + dy)·w + n·px + dx, c] for patches of n×n pixels;
//               unpatchify is the inverse
//   transpose_rows  y[i, l·a + j] = x[i, j·b + l] for rows of a·b columns
//
// A thread computes eight columns of a row (one value in patchify, unpatchify and transpose_rows). Blocks of 256 threads cover rows ×
// columns in raster order. Kernels without a suffix take rows that start at multiples of 16 bytes and widths that are
// multiples of 8; the _any kernels take any rows, one value at a time.
//
// Rate: memory is the limit, the bytes of the operands over the card's bandwidth.
#include "cu.h"

DEV bool place(i64 &row, int &col, int rows, int cols) {
  const u32 chunks = (u32)(cols + 7) / 8, i = (u32)BLOCK_X * 256 + TID;
  row = i / chunks;
  col = (int)(i % chunks) * 8;
  return row < rows;
}

// each8 lets op compute the thread's eight columns y, and stores them.
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
template <bool ALIGNED> DEV void silu_mul_body(Mat dst, Mat a, Mat b, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float q[8];
    load8<ALIGNED>(y, a, row, col, cols);
    load8<ALIGNED>(q, b, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] = silu(y[i]) * q[i];
  });
}
template <bool ALIGNED> DEV void relu_body(Mat dst, Mat x, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    load8<ALIGNED>(y, x, row, col, cols);
    UNROLL
    for (float &v : y) v = v < 0.0f ? 0.0f : v; // NaN stays
  });
}
template <bool ALIGNED> DEV void prelu_body(Mat dst, Mat x, Mat slope, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float p[8];
    load8<ALIGNED>(y, x, row, col, cols);
    load8<ALIGNED>(p, slope, 0, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] = y[i] < 0.0f ? p[i] * y[i] : y[i]; // NaN stays
  });
}
template <bool ALIGNED> DEV void silu_only_body(Mat dst, Mat x, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    load8<ALIGNED>(y, x, row, col, cols);
    UNROLL
    for (float &v : y) v = silu(v);
  });
}
template <bool ALIGNED> DEV void centred_gate_body(Mat dst, Mat a, Mat b, int rows, int cols) {
  each8<ALIGNED>(dst, rows, cols, [&](float(&y)[8], i64 row, int col) {
    float q[8];
    load8<ALIGNED>(y, a, row, col, cols);
    load8<ALIGNED>(q, b, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) y[i] = (y[i] + q[i]) * (reciprocal(1.0f + exp2_approx(-LOG2E * q[i])) - 0.5f);
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

#define BOTH(name, params, ...)                                                                                      \
  KERNEL THREADS(256, 1) void name params { name##_body<true>(__VA_ARGS__); }                                        \
  KERNEL THREADS(256, 1) void name##_any params { name##_body<false>(__VA_ARGS__); }

BOTH(copy, (PLAIN(dst), PLAIN(x), int rows, int cols), MAT(dst), MAT(x), rows, cols)
BOTH(add_scaled, (PLAIN(dst), PLAIN(a), PLAIN(b), int rows, int cols, float s), MAT(dst), MAT(a), MAT(b), rows, cols, s)
BOTH(lerp, (PLAIN(dst), PLAIN(a), PLAIN(b), int rows, int cols, float s), MAT(dst), MAT(a), MAT(b), rows, cols, s)
BOTH(silu_mul, (PLAIN(dst), PLAIN(a), PLAIN(b), int rows, int cols), MAT(dst), MAT(a), MAT(b), rows, cols)
BOTH(relu, (PLAIN(dst), PLAIN(x), int rows, int cols), MAT(dst), MAT(x), rows, cols)
BOTH(prelu, (PLAIN(dst), PLAIN(x), PLAIN(slope), int rows, int cols), MAT(dst), MAT(x), MAT(slope), rows, cols)
BOTH(silu_only, (PLAIN(dst), PLAIN(x), int rows, int cols), MAT(dst), MAT(x), rows, cols)
BOTH(centred_gate, (PLAIN(dst), PLAIN(a), PLAIN(b), int rows, int cols), MAT(dst), MAT(a), MAT(b), rows, cols)
BOTH(affine, (PLAIN(dst), PLAIN(x), PLAIN(scale), PLAIN(shift), int rows, int cols, int with_silu),
     MAT(dst), MAT(x), MAT(scale), MAT(shift), rows, cols, with_silu)

// pixel_of returns the row of the pixel at sub = dy·side + dx of a patch of side×side. width is the number of pixels of
// a line.
DEV i64 pixel_of(u32 patch, u32 sub, u32 width, u32 side) {
  const u32 across = width / side;
  const u32 y = side * (patch / across) + sub / side, x = side * (patch % across) + sub % side;
  return (i64)y * width + x;
}

// rows and cols are those of the patches, of which there are fewer and wider rows than of pixels.
KERNEL THREADS(256, 1) void patchify(PLAIN(dst), PLAIN(x), int rows, int cols, int width, int side) {
  const u32 i = (u32)BLOCK_X * 256 + TID, patch = i / cols, col = i % cols, n = side * side;
  if (patch < rows) store1(load1(MAT(x), pixel_of(patch, col % n, width, side), col / n), MAT(dst), patch, col);
}
KERNEL THREADS(256, 1) void unpatchify(PLAIN(dst), PLAIN(x), int rows, int cols, int width, int side) {
  const u32 i = (u32)BLOCK_X * 256 + TID, patch = i / cols, col = i % cols, n = side * side;
  if (patch < rows) store1(load1(MAT(x), patch, col), MAT(dst), pixel_of(patch, col % n, width, side), col / n);
}

// Neighbouring threads write neighbours. height is the number of rows of the matrix that a row holds.
KERNEL THREADS(256, 1) void transpose_rows(PLAIN(dst), PLAIN(x), int rows, int cols, int height) {
  const i64 i = (i64)BLOCK_X * 256 + TID, row = i / cols;
  const int col = (int)(i % cols), width = cols / height;
  if (row < rows) store1(load1(MAT(x), row, col % height * width + col / height), MAT(dst), row, col);
}
