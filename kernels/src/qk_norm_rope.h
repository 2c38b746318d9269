// qk_norm_rope.h normalises and rotates heads of a product before they are rounded, as attention needs them.
#pragma once
#include "tile.h"

static constexpr int HEAD = 128, HEAD_TILES = HEAD / 8; EXPORT(head_cols, HEAD)

// QKNormRoPE applies to the first cols columns of a product, which are heads of HEAD columns. Each head is divided by
// its root mean square and multiplied by the row w. Then its pairs of coordinates are rotated: cos and sin are float32
// rows of HEAD / 2 values. A pair is two neighbours or, with halves, the coordinates i and i + HEAD / 2.
struct QKNormRoPE {
  Mat w;
  const float *cos, *sin;
  int cos_stride, sin_stride, halves, cols;
  float eps;
};

// rotate scales a pair of coordinates and rotates it by an angle.
DEV void rotate(float &a, float &z, float a_scale, float z_scale, float cos, float sin) {
  const float x = a * a_scale, y = z * z_scale;
  a = x * cos - y * sin;
  z = y * cos + x * sin;
}

// qk_norm_rope changes the sums y of a lane: it holds parts of the rows `row` and `row` + 8 of a warp's 16×NJ·8 sums,
// whose first column is col. Squares are added over ascending columns of a lane, then over the four lanes of a row, so
// that all tiles give the same bits. Rows past the end use the angles of the last row; they are not stored.
template <int NJ> DEV void qk_norm_rope(float (&y)[NJ][4], const QKNormRoPE &h, int row, int rows, int col) {
  static_assert(NJ % HEAD_TILES == 0);
  const int q = LANE & 3;
  UNROLL
  for (int first = 0; first < NJ; first += HEAD_TILES) {
    if (col + first * 8 >= h.cols) return;
    float w[HEAD_TILES][2];
    row_pairs(w, h.w, q * 2, HEAD - 2, 1);
    UNROLL
    for (int half = 0; half < 4; half += 2) {
      const int r = min(row + half * 4 + (LANE >> 2), rows - 1);
      const float *cos = h.cos + (i64)r * h.cos_stride, *sin = h.sin + (i64)r * h.sin_stride;
      float squares = 0;
      UNROLL
      for (int j = 0; j < HEAD_TILES; j++)
        UNROLL
        for (int c = half; c < half + 2; c++) squares += y[first + j][c] * y[first + j][c];
      squares += shuffle_xor(squares, 1);
      squares += shuffle_xor(squares, 2);
      const float scale = rsqrt_approx(squares / HEAD + h.eps);
      if (h.halves) {
        UNROLL
        for (int j = 0; j < HEAD_TILES / 2; j++) {
          const f32x2 cosines = ldg<f32x2>(cos + j * 8 + q * 2), sines = ldg<f32x2>(sin + j * 8 + q * 2);
          UNROLL
          for (int c = 0; c < 2; c++) {
            const int k = j + HEAD_TILES / 2;
            rotate(y[first + j][half + c], y[first + k][half + c], scale * w[j][c], scale * w[k][c], cosines.v[c], sines.v[c]);
          }
        }
      } else {
        UNROLL
        for (int j = 0; j < HEAD_TILES; j++)
          rotate(y[first + j][half], y[first + j][half + 1], scale * w[j][0], scale * w[j][1], ldg<float>(cos + j * 4 + q), ldg<float>(sin + j * 4 + q));
      }
    }
  }
}
