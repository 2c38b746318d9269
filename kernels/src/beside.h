// beside.h lets the columns of an operand come from two matrices: those of a weight, and behind them the thin ones of an
// adapter.
#pragma once
#include "tile.h"

// Beside is where the columns of an operand from `split` on come from, a multiple of 64: a second matrix with the same
// rows. There is none if split is the whole depth.
struct Beside {
  const bf16 *m, *other; // other is that of up in a SwiGLU
  int stride, split;
};

// RowsBeside is Rows for an operand whose columns come from two matrices.
template <class T, int COUNT, bool ALIGNED> struct RowsBeside {
  Rows<T, COUNT, ALIGNED> now;
  Beside beside;
  int slices, first, rows, rest; // slices until the second matrix begins, of which `rest` columns are wanted

  MEMBER void begin(const bf16 *m, int stride, const Beside &second, int first_row, int all_rows, int depth) {
    now.begin(m, stride, first_row, all_rows, second.split);
    beside = second, slices = second.split / T::BK, first = first_row, rows = all_rows, rest = depth - second.split;
    if (rest == 0) slices = -1;
  }
  MEMBER void load(u32 buffer) {
    if (slices-- == 0) now.begin(beside.m, beside.stride, first, rows, rest);
    now.load(buffer);
  }
};
