// rotation.h multiplies groups of columns by the matrix of ConvRot, in the order of sums of tensor.Rotate: the Kronecker
// power of [1 1 1 −1; 1 1 −1 1; 1 −1 1 1; −1 1 1 1] with as many rows as a group has columns, divided by the root of
// that.
#pragma once
#include "cu.h"

static constexpr int ROTATION_LIMIT = 256; // columns of the largest group

// butterfly multiplies four values by the matrix of four rows, in the order of tensor.Rotate: CROSSED is that of the
// stage whose values are 4 places apart.
template <bool CROSSED> OP void butterfly(float &a, float &b, float &c, float &d) {
  const float sum = CROSSED ? (a + c) + (b + d) : (a + b) + (c + d), first = a;
  a = sum - 2 * d, d = sum - 2 * first;
  const float second = b;
  b = sum - 2 * c, c = sum - 2 * second;
}
// butterflies multiplies 16 values by one or both of the stages of four, whose values are 1 and 4 places apart, or, if
// CROSSED is not set, 16 and 64 places.
template <bool CROSSED> OP void butterflies(float (&v)[16], bool near, bool far) {
  if (near) {
    UNROLL
    for (int i = 0; i < 16; i += 4) butterfly<false>(v[i], v[i + 1], v[i + 2], v[i + 3]);
  }
  if (far) {
    UNROLL
    for (int i = 0; i < 4; i++) butterfly<CROSSED>(v[i], v[i + 4], v[i + 8], v[i + 12]);
  }
}

// exchanged returns the number of floats of shared memory in which a block exchanges values: one place is left behind each
// 16 values, so that a warp uses no bank twice at a time.
static constexpr int exchanged(int values) { return values / 16 * 17; }

// rotated_column returns the column of value i of this thread, after rotated.
DEV int rotated_column(int i) { return TID / 16 * 256 + TID % 16 + i * 16; }

// rotated reads 16 values a thread of a row of x from column `from` on, and rotates groups of 4, 16, 64 or 256 columns;
// with group 0 it rotates nothing. Behind the last column there are zeros. A thread holds first 16 neighbours, for the
// stages whose values are 1 and 4 places apart, then 16 that are 16 places apart, for the stages of 16 and 64. norm is 1
// over the root of group, or 1. Between two calls with the same memory there must be a barrier.
template <bool ALIGNED>
DEV void rotated(float (&v)[16], float *exchange, Mat x, int row, int from, int cols, int group, float norm) {
  UNROLL
  for (int i = 0; i < 2; i++) {
    float part[8] = {};
    const int col = from + TID * 16 + i * 8;
    if (col < cols) load8<ALIGNED>(part, x, row, col, cols);
    UNROLL
    for (int j = 0; j < 8; j++) v[i * 8 + j] = part[j];
  }
  butterflies<true>(v, group > 1, group > 4);
  UNROLL
  for (int i = 0; i < 16; i++) exchange[TID * 17 + i] = v[i];
  barrier();
  UNROLL
  for (int i = 0; i < 16; i++) v[i] = exchange[TID / 16 * 272 + TID % 16 + i * 17];
  butterflies<false>(v, group > 16, group > 64);
  UNROLL
  for (int i = 0; i < 16; i++) v[i] = times(v[i], norm);
}
