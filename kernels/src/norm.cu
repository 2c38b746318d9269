// Normalisation of rows.
//
//   rms_norm      y = x / sqrt(mean(x²) + eps) ⊙ w                                    over each row
//   layer_norm    y = (x − mean) / sqrt(var + eps) ⊙ (1 + scale) + shift              over each row
//   qk_norm_rope  rms_norm over each head of d columns, then each pair (a, z) of coordinates becomes
//                 (a·cos − z·sin, z·cos + a·sin); pair p is (2p, 2p + 1), or (p, p + d/2) with halves
//
// In rms_norm and layer_norm a block of 256 threads computes a row, eight columns a thread at a time. It reads the row
// again for each pass, by then from the L1 cache. In qk_norm_rope a warp computes a head, in place. y may be x. Kernels
// without a suffix take aligned rows (see elementwise.cu), the _any kernels all rows.
//
// Rate: memory is the limit, one read and one write of x over the card's bandwidth.
#include "cu.h"

// block_sum adds v over the 256 threads, in a fixed order. Each call needs a part of its own.
DEV float block_sum(float v, float (&part)[8]) {
  v = warp_sum(v);
  if (LANE == 0) part[WARP] = v;
  barrier();
  float sum = 0;
  UNROLL
  for (int i = 0; i < 8; i++) sum += part[i];
  return sum;
}

template <bool ALIGNED> DEV void rms_norm_body(Mat dst, Mat x, Mat w, int cols, float eps) {
  SHARED static float part[8];
  const i64 row = BLOCK_X;
  float squares = 0;
  for (int col = TID * 8; col < cols; col += 256 * 8) {
    float v[8];
    load8<ALIGNED>(v, x, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) squares += v[i] * v[i];
  }
  const float r = rsqrt_approx(block_sum(squares, part) / (float)cols + eps);
  for (int col = TID * 8; col < cols; col += 256 * 8) {
    float v[8], g[8];
    load8<ALIGNED>(v, x, row, col, cols);
    load8<ALIGNED>(g, w, 0, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) v[i] = v[i] * r * g[i];
    store8<ALIGNED>(v, dst, row, col, cols);
  }
}

template <bool ALIGNED> DEV void layer_norm_body(Mat dst, Mat x, Mat scale, Mat shift, int cols, float eps) {
  SHARED static float part[2][8];
  const i64 row = BLOCK_X;
  float sum = 0, squares = 0;
  for (int col = TID * 8; col < cols; col += 256 * 8) {
    float v[8];
    load8<ALIGNED>(v, x, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) sum += v[i];
  }
  const float mean = block_sum(sum, part[0]) / (float)cols;
  for (int col = TID * 8; col < cols; col += 256 * 8) {
    float v[8];
    load8<ALIGNED>(v, x, row, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) {
      const float d = ALIGNED || col + i < cols ? v[i] - mean : 0;
      squares += d * d;
    }
  }
  const float r = rsqrt_approx(block_sum(squares, part[1]) / (float)cols + eps);
  for (int col = TID * 8; col < cols; col += 256 * 8) {
    float v[8], p[8], q[8];
    load8<ALIGNED>(v, x, row, col, cols);
    load8<ALIGNED>(p, scale, 0, col, cols);
    load8<ALIGNED>(q, shift, 0, col, cols);
    UNROLL
    for (int i = 0; i < 8; i++) v[i] = (v[i] - mean) * r * (1.0f + p[i]) + q[i];
    store8<ALIGNED>(v, dst, row, col, cols);
  }
}

KERNEL THREADS(256, 1) void rms_norm(PLAIN(dst), PLAIN(x), PLAIN(w), int cols, float eps) { rms_norm_body<true>(MAT(dst), MAT(x), MAT(w), cols, eps); }
KERNEL THREADS(256, 1) void rms_norm_any(PLAIN(dst), PLAIN(x), PLAIN(w), int cols, float eps) { rms_norm_body<false>(MAT(dst), MAT(x), MAT(w), cols, eps); }
KERNEL THREADS(256, 1) void layer_norm(PLAIN(dst), PLAIN(x), PLAIN(scale), PLAIN(shift), int cols, float eps) {
  layer_norm_body<true>(MAT(dst), MAT(x), MAT(scale), MAT(shift), cols, eps);
}
KERNEL THREADS(256, 1) void layer_norm_any(PLAIN(dst), PLAIN(x), PLAIN(scale), PLAIN(shift), int cols, float eps) {
  layer_norm_body<false>(MAT(dst), MAT(x), MAT(scale), MAT(shift), cols, eps);
}

// A lane takes the pairs p = lane, lane + 32, …. With PAIRS the two bfloat16 of a pair are neighbours in one word.
template <bool PAIRS> DEV void qk_norm_rope_body(bf16 *x, int stride, Mat w, const float *cos, const float *sin, int cos_stride, int sin_stride,
                                                 int rows, int heads, int d, int halves, float eps) {
  const u32 unit = (u32)BLOCK_X * 8 + WARP, row = unit / (u32)heads, head = unit % (u32)heads;
  if (row >= rows) return;
  bf16 *const at = x + (i64)row * stride + head * (u32)d;
  const int step = halves ? 1 : 2, partner = halves ? d / 2 : 1;
  float squares = 0;
  for (int p = LANE; p < d / 2; p += 32) {
    float a, z;
    if (PAIRS) {
      const u32 both = ldg<u32>(at + 2 * p);
      a = widen_low(both), z = widen_high(both);
    } else {
      a = widen(ldg<bf16>(at + p * step)), z = widen(ldg<bf16>(at + p * step + partner));
    }
    squares += a * a + z * z;
  }
  const float r = rsqrt_approx(warp_sum(squares) / (float)d + eps);
  for (int p = LANE; p < d / 2; p += 32) {
    const float c = ldg<float>(cos + (i64)row * cos_stride + p), s = ldg<float>(sin + (i64)row * sin_stride + p);
    float a, z;
    if (PAIRS) {
      const u32 both = ldg<u32>(at + 2 * p);
      a = widen_low(both), z = widen_high(both);
    } else {
      a = widen(ldg<bf16>(at + p * step)), z = widen(ldg<bf16>(at + p * step + partner));
    }
    a *= r * load1(w, 0, p * step);
    z *= r * load1(w, 0, p * step + partner);
    const float first = a * c - z * s, second = z * c + a * s;
    if (PAIRS) {
      stg(at + 2 * p, round_pair(first, second));
    } else {
      stg(at + p * step, round_bf16(first));
      stg(at + p * step + partner, round_bf16(second));
    }
  }
}

KERNEL THREADS(256, 1) void qk_norm_rope(bf16 *x, int stride, PLAIN(w), const float *cos, const float *sin, int cos_stride, int sin_stride, int halves,
                                         int rows, int heads, int d, float eps) {
  qk_norm_rope_body<true>(x, stride, MAT(w), cos, sin, cos_stride, sin_stride, rows, heads, d, 0, eps);
}
KERNEL THREADS(256, 1) void qk_norm_rope_any(bf16 *x, int stride, PLAIN(w), const float *cos, const float *sin, int cos_stride, int sin_stride, int halves,
                                             int rows, int heads, int d, float eps) {
  qk_norm_rope_body<false>(x, stride, MAT(w), cos, sin, cos_stride, sin_stride, rows, heads, d, halves, eps);
}
