// Group normalisation of a picture x [rows, cols] with rows in raster order: groups of width columns are normalised
// over all rows, y = (x − mean) / sqrt(var + eps) ⊙ gamma + beta. The kernels store a row of scales and a row of shifts
// such that y = x ⊙ scale + shift; `affine` in elementwise.cu applies them, with SiLU.
//
//   group_norm_sums    A block takes CHUNK rows. For each group in them it stores the count, a value k that occurs in
//                      the group, Σ(x − k) and Σ(x − k)². Differences from k have the size of the deviation; plain
//                      squares would lose the deviation if the mean is large. A thread takes 8 columns of some rows.
//   group_norm_finish  A block for each group merges the chunks in float64 and in a fixed order: first each thread its
//                      chunks, then the threads' results as a tree. The order in which blocks run does not matter.
//
// cols ≤ COLUMNS. group_norm_sums takes aligned rows (see elementwise.cu), group_norm_sums_any all rows.
//
// Rate: memory is the limit: group_norm_sums reads x once, the rest is small.
#include "cu.h"

enum { CHUNK = 256, COLUMNS = 2048 }; EXPORT(group_norm_chunk, CHUNK) EXPORT(group_norm_columns, COLUMNS)

// Part is what is stored for one group of one chunk.
struct alignas(16) Part {
  float count, k, sum, squares;
}; EXPORT(group_norm_part_bytes, sizeof(Part))

template <bool ALIGNED> DEV void sums_body(Part *parts, Mat x, int rows, int cols, int groups) {
  // Σ(x − k) and Σ(x − k)² of each thread and column: [row lane][column], at most 256·8 of each.
  SHARED static float sums[COLUMNS], squares[COLUMNS];
  const int width = cols / groups, strips = (cols + 7) / 8, lanes = 256 / strips;
  const int row_lane = TID / strips, col = TID % strips * 8;
  const i64 first = (i64)BLOCK_X * CHUNK;
  const int count = (int)min((i64)CHUNK, (i64)rows - first);
  if (row_lane < lanes) {
    float k[8], s[8] = {}, ss[8] = {};
    UNROLL
    for (int i = 0; i < 8; i++) k[i] = ALIGNED || col + i < cols ? load1(x, first, (col + i) / width * width) : 0;
    for (int r = row_lane; r < count; r += lanes) {
      float v[8];
      load8<ALIGNED>(v, x, first + r, col, cols);
      UNROLL
      for (int i = 0; i < 8; i++) {
        const float d = v[i] - k[i];
        s[i] += d;
        ss[i] += d * d;
      }
    }
    UNROLL
    for (int i = 0; i < 8; i++) {
      sums[row_lane * strips * 8 + col + i] = s[i];
      squares[row_lane * strips * 8 + col + i] = ss[i];
    }
  }
  barrier();
  for (int g = TID; g < groups; g += 256) {
    float s = 0, ss = 0;
    for (int l = 0; l < lanes; l++)
      for (int c = g * width; c < (g + 1) * width; c++) {
        s += sums[l * strips * 8 + c];
        ss += squares[l * strips * 8 + c];
      }
    stg(parts + (i64)BLOCK_X * groups + g, Part{(float)(count * width), load1(x, first, g * width), s, ss});
  }
}

KERNEL THREADS(256, 1) void group_norm_sums(Part *parts, PLAIN(x), int rows, int cols, int groups) { sums_body<true>(parts, MAT(x), rows, cols, groups); }
KERNEL THREADS(256, 1) void group_norm_sums_any(Part *parts, PLAIN(x), int rows, int cols, int groups) { sums_body<false>(parts, MAT(x), rows, cols, groups); }

// Moments holds the count, the mean and Σ(x − mean)² of some values.
struct Moments {
  double n, mean, m2;
};

// merge follows Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances".
DEV Moments merge(Moments a, Moments b) {
  if (b.n == 0) return a;
  if (a.n == 0) return b;
  const double n = a.n + b.n, d = b.mean - a.mean;
  return {n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * b.n / n)};
}

KERNEL THREADS(128, 1) void group_norm_finish(float *scale, float *shift, const Part *parts, PLAIN(gamma), PLAIN(beta), int chunks, int cols, int groups, float eps) {
  SHARED static Moments tree[128];
  const int g = BLOCK_X, width = cols / groups;
  Moments m = {0, 0, 0};
  for (int c = TID; c < chunks; c += 128) {
    const Part p = ldg<Part>(parts + (i64)c * groups + g);
    const double n = p.count, s = p.sum;
    m = merge(m, {n, p.k + s / n, p.squares - s * (s / n)});
  }
  tree[TID] = m;
  for (int half = 64; half; half /= 2) {
    barrier();
    if (TID < half) tree[TID] = merge(tree[TID], tree[TID + half]);
  }
  barrier();
  const double mean = tree[0].mean, variance = max(tree[0].m2 / tree[0].n, 0.0);
  const double r = 1.0 / __nvvm_sqrt_rn_d(variance + (double)eps);
  for (int c = g * width + TID; c < (g + 1) * width; c += 128) {
    const double gain = (double)load1(MAT(gamma), 0, c) * r;
    stg(scale + c, (float)gain);
    stg(shift + c, (float)((double)load1(MAT(beta), 0, c) - mean * gain));
  }
}
