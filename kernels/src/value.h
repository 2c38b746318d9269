// value.h turns sums of products of 8 bits into values.
#pragma once
#include "cu.h"

// scaled_value is a sum of products, multiplied by the scale of its row, then by that of its column.
template <class N> DEV float scaled_value(N sum, float of_row, float of_column) { return times(times((float)sum, of_row), of_column); }

// scales_at returns the scales of two columns, or of the last ones behind them. If PAIRS, the number of columns is even
// and the scales lie at a multiple of 8 bytes.
template <bool PAIRS> DEV f32x2 scales_at(const float *scales, int col, int cols) {
  if (PAIRS) return ldg<f32x2>(scales + min(col, cols - 2));
  return {ldg<float>(scales + min(col, cols - 1)), ldg<float>(scales + min(col + 1, cols - 1))};
}
