// heads.h turns heads where they leave a product, before they are rounded: what attention wants of queries and keys.
#pragma once
#include "tile.h"

static constexpr int HEAD = 128, HEAD_TILES = HEAD / 8;

// Heads says what becomes of the first cols columns of a product, heads of HEAD: each is divided by its root mean square and
// multiplied by the row w, then its pairs of coordinates are turned by angles, whose cosines and sines are float32 rows of
// HEAD / 2. A pair is two neighbours or, with halves, coordinates i and i + HEAD / 2.
struct Heads {
  Mat w;
  const float *cos, *sin;
  int cos_stride, sin_stride, halves, cols;
  float eps;
};

// turn scales a pair of coordinates and turns it by an angle.
DEV void turn(float &a, float &z, float a_scale, float z_scale, float cos, float sin) {
  const float x = a * a_scale, y = z * z_scale;
  a = x * cos - y * sin;
  z = y * cos + x * sin;
}

// turn_heads turns what a lane has of the rows `row` and `row` + 8 of a warp's 16×NJ·8 sums, the first of whose columns is
// col. Squares are added over ascending columns of a lane, then over the four lanes of a row: all tiles give the same bits.
// Rows past the end have the last one's angles: they are not stored.
template <int NJ> DEV void turn_heads(float (&y)[NJ][4], const Heads &h, int row, int rows, int col) {
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
            turn(y[first + j][half + c], y[first + k][half + c], scale * w[j][c], scale * w[k][c], cosines.v[c], sines.v[c]);
          }
        }
      } else {
        UNROLL
        for (int j = 0; j < HEAD_TILES; j++)
          turn(y[first + j][half], y[first + j][half + 1], scale * w[j][0], scale * w[j][1], ldg<float>(cos + j * 4 + q), ldg<float>(sin + j * 4 + q));
      }
    }
  }
}
