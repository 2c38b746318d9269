// int8.h turns sums of products of int8 into values.
#pragma once
#include "cu.h"

// int8_value is a sum of products of int8, multiplied by the scale of its row, then by that of its column.
DEV float int8_value(int sum, float of_row, float of_column) { return times(times((float)sum, of_row), of_column); }

// scales_at returns the scales of two columns, or of the last ones behind them. If PAIRS, the number of columns is even
// and the scales lie at a multiple of 8 bytes.
template <bool PAIRS> DEV f32x2 scales_at(const float *scales, int col, int cols) {
  if (PAIRS) return ldg<f32x2>(scales + min(col, cols - 2));
  return {ldg<float>(scales + min(col, cols - 1)), ldg<float>(scales + min(col + 1, cols - 1))};
}
