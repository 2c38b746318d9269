// Attention: dst = softmax(scale·q·k^T + mask)·v by heads. q and dst are [rows, heads·d], k and v [keys, kv_heads·d];
// query head h reads key head h·kv_heads/heads. With causal, query i sees keys 0 … i. Keys from `keys` on are masked.
//
// A block keeps some queries of one head and walks over the keys, KEYS at a time, with the running maximum and sum of
// each query. When the maximum rises, the result so far is scaled down, so that no matrix of scores is ever stored.
// Probabilities are rounded to bfloat16 before they are multiplied by the values; sums are float32.
//   attention_<D>x<rows>  d ≤ D, which is 64 or 128. The warp that multiplies scores by values keeps them in registers.
//   attention_<D>         d ≤ D, which is 256 or 512, for the VAE. A warp's registers do not hold so wide a result:
//                         four warps compute a quarter of the columns each and exchange probabilities in shared memory.
// Rows start at multiples of 16 bytes and d is a multiple of 8. The _any kernels take any rows, one value at a time.
// All kernels of one D take the keys in the same order and in the same portions, so that they give the same bits. Rate:
// the limit is mma.sync, 4·rows·keys·d FLOP a head, and the exponentials, one for each score.
#include "tile.h"

static constexpr int KEYS = 64;
// The shared memory of attention_body and of wide_body for `rows` queries of heads of `width` columns.
constexpr int narrow_bytes(int width, int rows) { return (rows + 2 * KEYS) * width * 2; }
constexpr int wide_bytes(int width, int rows) { return rows * width * 2 + 3 * KEYS * 64 * 2 + rows * KEYS * 2 + 4 * 4 * rows; }

struct Attention {
  const bf16 *q, *k, *v;
  Mat dst;
  int q_stride, k_stride, v_stride, rows, keys, heads, kv_heads, d, causal;
  float scale; // times log2 e
};

// place returns the offset of a piece of a row in a buffer whose rows have D columns, at least 64. step moves such an
// address right by k·16 columns.
template <int D> DEV u32 place(int row, int piece) { return row * (D * 2) + ((piece ^ (row & 7)) << 4); }
DEV u32 step(u32 at, int k) { return (at ^ ((k & 3) << 5)) + (k >> 2) * 128; }

// copy_rows copies ROWS rows of D columns from row first on. Rows from end on repeat the last row, columns from cols on
// are zeros.
template <int SIZE, int ROWS, int D, bool ALIGNED> DEV void copy_rows(u32 buffer, const bf16 *m, int stride, int first, int end, int cols) {
  constexpr int PIECES = D / 8;
  UNROLL_IF(ALIGNED)
  for (int i = 0; i < ROWS * PIECES / SIZE; i++) {
    const int at = TID + i * SIZE, row = at / PIECES, piece = at % PIECES;
    fetch<ALIGNED>(buffer + place<D>(row, piece), m + (i64)min(first + row, end - 1) * stride + (piece * 8 < cols ? piece * 8 : 0), cols - piece * 8);
  }
}

// mask hides keys from queries. Element c of mma tile j belongs to row + 8·(c/2) and key first + 8·j + c%2.
template <int NJ> DEV void mask(float (&s)[NJ][4], int row, int first, int keys, int causal) {
  UNROLL
  for (int j = 0; j < NJ; j++)
    UNROLL
    for (int c = 0; c < 4; c++) {
      const int key = first + j * 8 + c % 2;
      if (key >= keys || (causal && key > row + c / 2 * 8)) s[j][c] = -__builtin_inff();
    }
}

DEV float quad_max(float v) {
  v = max(v, shuffle_xor(v, 1));
  return max(v, shuffle_xor(v, 2));
}
DEV float quad_sum(float v) {
  v += shuffle_xor(v, 1);
  return v + shuffle_xor(v, 2);
}

// D is the width of a head, ROWS the number of queries of a block, MI·16 that of a warp.
template <int D, int ROWS, int MI, bool ALIGNED> DEV void attention_body(const Attention &p) {
  DYNAMIC_SHARED(shared);
  constexpr int SIZE = ROWS / (MI * 16) * 32;
  const u32 q_buffer = shared_address(shared), k_buffer = q_buffer + ROWS * D * 2, v_buffer = k_buffer + KEYS * D * 2;
  const int lane = LANE, warp_row = WARP * MI * 16, first_row = BLOCK_X * ROWS, head = BLOCK_Y, kv_head = head * p.kv_heads / p.heads;
  const bf16 *const k = p.k + kv_head * p.d, *const v = p.v + kv_head * p.d;
  const int keys = p.causal ? min(p.keys, first_row + ROWS) : p.keys;

  float o[MI][D / 8][4], most[MI][2], sum[MI][2];
  UNROLL
  for (int i = 0; i < MI; i++) {
    UNROLL
    for (int j = 0; j < D / 8; j++) UNROLL for (int c = 0; c < 4; c++) o[i][j][c] = 0;
    UNROLL
    for (int h = 0; h < 2; h++) most[i][h] = -__builtin_inff(), sum[i][h] = 0;
  }
  copy_rows<SIZE, ROWS, D, ALIGNED>(q_buffer, p.q + head * p.d, p.q_stride, first_row, p.rows, p.d);
  copy_rows<SIZE, KEYS, D, ALIGNED>(k_buffer, k, p.k_stride, 0, p.keys, p.d);
  copy_async_commit();

  const u32 q_at = q_buffer + place<D>(warp_row + (lane & 15), lane >> 4);
  const u32 k_at = k_buffer + place<D>((lane & 7) + (lane >> 4 << 3), lane >> 3 & 1);
  const u32 v_at = v_buffer + place<D>(lane & 15, lane >> 4);
  for (int first = 0; first < keys; first += KEYS) {
    copy_async_wait<0>();
    barrier(); // the keys have arrived, and no warp still reads the last values
    copy_rows<SIZE, KEYS, D, ALIGNED>(v_buffer, v, p.v_stride, first, p.keys, p.d);
    copy_async_commit();

    float s[MI][KEYS / 8][4];
    UNROLL
    for (int i = 0; i < MI; i++) UNROLL for (int j = 0; j < KEYS / 8; j++) UNROLL for (int c = 0; c < 4; c++) s[i][j][c] = 0;
    UNROLL
    for (int x = 0; x < D / 16; x++) {
      u32 a[MI][4], b[4];
      UNROLL
      for (int i = 0; i < MI; i++) load_matrices(a[i], step(q_at, x) + i * 16 * D * 2);
      UNROLL
      for (int j = 0; j < KEYS / 16; j++) {
        load_matrices(b, step(k_at, x) + j * 16 * D * 2);
        UNROLL
        for (int i = 0; i < MI; i++) {
          multiply_add(s[i][2 * j], a[i], b[0], b[1]);
          multiply_add(s[i][2 * j + 1], a[i], b[2], b[3]);
        }
      }
    }
    copy_async_wait<0>();
    barrier(); // the values have arrived, and no warp still reads the keys
    if (first + KEYS < keys) copy_rows<SIZE, KEYS, D, ALIGNED>(k_buffer, k, p.k_stride, first + KEYS, p.keys, p.d);
    copy_async_commit();

    UNROLL
    for (int i = 0; i < MI; i++) {
      const int row = first_row + warp_row + i * 16 + (lane >> 2);
      if (first + KEYS > p.keys || (p.causal && first + KEYS > first_row + warp_row)) mask(s[i], row, first + lane % 4 * 2, p.keys, p.causal);
      UNROLL
      for (int h = 0; h < 2; h++) {
        float top = most[i][h];
        UNROLL
        for (int j = 0; j < KEYS / 8; j++) top = max(top, max(s[i][j][2 * h], s[i][j][2 * h + 1]));
        top = quad_max(top);
        const float shrink = exp2_approx((most[i][h] - top) * p.scale), least = top * p.scale;
        most[i][h] = top;
        sum[i][h] *= shrink;
        UNROLL
        for (int j = 0; j < D / 8; j++) o[i][j][2 * h] *= shrink, o[i][j][2 * h + 1] *= shrink;
        UNROLL
        for (int j = 0; j < KEYS / 8; j++)
          UNROLL
          for (int c = 2 * h; c < 2 * h + 2; c++) {
            s[i][j][c] = exp2_approx(s[i][j][c] * p.scale - least);
            sum[i][h] += s[i][j][c];
          }
      }
    }
    UNROLL
    for (int x = 0; x < KEYS / 16; x++) {
      // Two tiles of scores in the layout that mma gives them are one operand of the next product.
      u32 a[MI][4], b[4];
      UNROLL
      for (int i = 0; i < MI; i++)
        UNROLL
        for (int c = 0; c < 4; c++) a[i][c] = round_pair(s[i][2 * x + c / 2][c % 2 * 2], s[i][2 * x + c / 2][c % 2 * 2 + 1]);
      UNROLL
      for (int j = 0; j < D / 16; j++) {
        load_matrices_transposed(b, step(v_at, j) + x * 16 * D * 2);
        UNROLL
        for (int i = 0; i < MI; i++) {
          multiply_add(o[i][2 * j], a[i], b[0], b[1]);
          multiply_add(o[i][2 * j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
  UNROLL
  for (int i = 0; i < MI; i++) UNROLL for (int h = 0; h < 2; h++) sum[i][h] = 1.0f / quad_sum(sum[i][h]);
  Output out = {p.dst, {}, {}, p.rows, p.d, 0};
  out.dst.data += (i64)head * p.d * 2;
  UNROLL
  for (int j = 0; j < D / 8; j += 4)
    store<MI, 1, ALIGNED>(out, InOrder{out.rows}, first_row + warp_row, j * 8, [&](int i, int jj, int c) { return o[i][j + jj][c] * sum[i][c / 2]; });
}

// A block has 64 queries and 2 × 4 warps. A warp has 32 of the queries and, of each, a quarter of the keys and a
// quarter of each SLICE columns of the result.
template <int D, bool ALIGNED> DEV void wide_body(const Attention &p) {
  DYNAMIC_SHARED(shared);
  constexpr int ROWS = 64, SLICE = 64, STAGES = 3, SIZE = 256, SLICE_BYTES = KEYS * SLICE * 2;
  const u32 q_buffer = shared_address(shared), ring = q_buffer + ROWS * D * 2, p_buffer = ring + STAGES * SLICE_BYTES;
  float(*const exchange)[ROWS] = (float(*)[ROWS])(shared + ROWS * D * 2 + STAGES * SLICE_BYTES + ROWS * KEYS * 2);
  const int lane = LANE, warp_row = WARP / 4 * 32, quarter = WARP % 4, first_row = BLOCK_X * ROWS, head = BLOCK_Y, kv_head = head * p.kv_heads / p.heads;
  const bf16 *const k = p.k + kv_head * p.d, *const v = p.v + kv_head * p.d;
  const int keys = p.causal ? min(p.keys, first_row + ROWS) : p.keys, slices = (p.d + SLICE - 1) / SLICE;

  // Slices arrive one after the other: all slices of a portion's keys, then all slices of its values.
  int next_first = 0, next_slice = 0;
  u32 read = ring, write = ring;
  auto fetch_next = [&] {
    if (next_first < keys) {
      const bool values = next_slice >= slices;
      const int col = (values ? next_slice - slices : next_slice) * SLICE;
      copy_rows<SIZE, KEYS, SLICE, ALIGNED>(write, (values ? v : k) + col, values ? p.v_stride : p.k_stride, next_first, p.keys, p.d - col);
      write = write + SLICE_BYTES == p_buffer ? ring : write + SLICE_BYTES;
      if (++next_slice == 2 * slices) next_slice = 0, next_first += KEYS;
    }
    copy_async_commit();
  };
  auto arrive = [&] {
    copy_async_wait<STAGES - 2>();
    barrier();
    fetch_next();
  };
  auto leave = [&] { read = read + SLICE_BYTES == p_buffer ? ring : read + SLICE_BYTES; };

  float o[2][D / SLICE][2][4], most[2][2], sum[2][2];
  UNROLL
  for (int i = 0; i < 2; i++) {
    UNROLL
    for (int j = 0; j < D / SLICE; j++) UNROLL for (int n = 0; n < 2; n++) UNROLL for (int c = 0; c < 4; c++) o[i][j][n][c] = 0;
    UNROLL
    for (int h = 0; h < 2; h++) most[i][h] = -__builtin_inff(), sum[i][h] = 0;
  }
  copy_rows<SIZE, ROWS, D, ALIGNED>(q_buffer, p.q + head * p.d, p.q_stride, first_row, p.rows, p.d);
  UNROLL
  for (int i = 0; i < STAGES - 1; i++) fetch_next();

  const u32 q_at = q_buffer + place<D>(warp_row + (lane & 15), lane >> 4);
  const u32 p_at = p_buffer + place<KEYS>(warp_row + (lane & 15), lane >> 4);
  const u32 k_at = place<SLICE>(quarter * 16 + (lane & 7) + (lane >> 4 << 3), lane >> 3 & 1);
  const u32 v_at = step(place<SLICE>(lane & 15, lane >> 4), quarter);
  for (int first = 0; first < keys; first += KEYS) {
    float s[2][2][4] = {};
    for (int slice = 0; slice < slices; slice++, leave()) {
      arrive();
      UNROLL
      for (int x = 0; x < SLICE / 16; x++) {
        u32 a[2][4], b[4];
        load_matrices(b, step(read + k_at, x));
        UNROLL
        for (int i = 0; i < 2; i++) {
          load_matrices(a[i], step(q_at, x) + slice * SLICE * 2 + i * 16 * D * 2);
          multiply_add(s[i][0], a[i], b[0], b[1]);
          multiply_add(s[i][1], a[i], b[2], b[3]);
        }
      }
    }
    UNROLL
    for (int i = 0; i < 2; i++) {
      const int row = warp_row + i * 16 + (lane >> 2);
      if (first + KEYS > p.keys || p.causal) mask(s[i], first_row + row, first + quarter * 16 + lane % 4 * 2, p.keys, p.causal);
      UNROLL
      for (int h = 0; h < 2; h++) {
        const float top = quad_max(max(max(s[i][0][2 * h], s[i][0][2 * h + 1]), max(s[i][1][2 * h], s[i][1][2 * h + 1])));
        if (lane % 4 == 0) exchange[quarter][row + h * 8] = top;
      }
    }
    barrier(); // the maxima of all quarters are in shared memory
    UNROLL
    for (int i = 0; i < 2; i++)
      UNROLL
      for (int h = 0; h < 2; h++) {
        const int row = warp_row + i * 16 + h * 8 + (lane >> 2);
        float top = most[i][h];
        UNROLL
        for (int w = 0; w < 4; w++) top = max(top, exchange[w][row]);
        const float shrink = exp2_approx((most[i][h] - top) * p.scale), least = top * p.scale;
        most[i][h] = top;
        sum[i][h] *= shrink;
        UNROLL
        for (int j = 0; j < D / SLICE; j++) UNROLL for (int n = 0; n < 2; n++) o[i][j][n][2 * h] *= shrink, o[i][j][n][2 * h + 1] *= shrink;
        UNROLL
        for (int n = 0; n < 2; n++) {
          const float low = exp2_approx(s[i][n][2 * h] * p.scale - least), high = exp2_approx(s[i][n][2 * h + 1] * p.scale - least);
          sum[i][h] += low;
          sum[i][h] += high;
          asm volatile("st.shared.b32 [%0], %1;" ::"r"(p_buffer + place<KEYS>(row, quarter * 2 + n) + lane % 4 * 4), "r"(round_pair(low, high)) : "memory");
        }
      }
    UNROLL
    for (int slice = 0; slice < D / SLICE; slice++) {
      if (slice >= slices) continue;
      arrive();
      UNROLL
      for (int x = 0; x < KEYS / 16; x++) {
        u32 a[4], b[4];
        load_matrices_transposed(b, read + v_at + x * 16 * SLICE * 2);
        UNROLL
        for (int i = 0; i < 2; i++) {
          load_matrices(a, step(p_at, x) + i * 16 * KEYS * 2);
          multiply_add(o[i][slice][0], a, b[0], b[1]);
          multiply_add(o[i][slice][1], a, b[2], b[3]);
        }
      }
      leave();
    }
  }
  barrier();
  UNROLL
  for (int i = 0; i < 2; i++)
    UNROLL
    for (int h = 0; h < 2; h++) {
      sum[i][h] = quad_sum(sum[i][h]);
      if (lane % 4 == 0) exchange[quarter][warp_row + i * 16 + h * 8 + (lane >> 2)] = sum[i][h];
    }
  barrier();
  UNROLL
  for (int i = 0; i < 2; i++)
    UNROLL
    for (int h = 0; h < 2; h++) {
      const int row = warp_row + i * 16 + h * 8 + (lane >> 2);
      const float r = 1.0f / (exchange[0][row] + exchange[1][row] + exchange[2][row] + exchange[3][row]);
      if (first_row + row >= p.rows) continue;
      UNROLL
      for (int j = 0; j < D / SLICE; j++)
        UNROLL
        for (int n = 0; n < 2; n++) {
          const int col = j * SLICE + quarter * 16 + n * 8 + lane % 4 * 2;
          const float low = o[i][j][n][2 * h] * r, high = o[i][j][n][2 * h + 1] * r;
          u8 *const at = p.dst.data + ((i64)(first_row + row) * p.dst.stride + head * p.d + col) * 2;
          if (ALIGNED) {
            if (col < p.d) stg(at, round_pair(low, high));
          } else {
            if (col < p.d) stg(at, round_bf16(low));
            if (col + 1 < p.d) stg(at + 2, round_bf16(high));
          }
        }
    }
}

#define ATTENTION(name, size, blocks, tile, ...)                                                                     \
  KERNEL THREADS(size, blocks) tile void name(const bf16 *q, const bf16 *k, const bf16 *v, PLAIN(dst), int q_stride, \
      int k_stride, int v_stride, int rows, int keys, int heads, int kv_heads, int d, int causal, float scale) {     \
    __VA_ARGS__({q, k, v, MAT(dst), q_stride, k_stride, v_stride, rows, keys, heads, kv_heads, d, causal,            \
                 scale * LOG2E});                                                                                    \
  }

ATTENTION(attention_64x64, 128, 2, TILE(64, 64, KEYS, 1, narrow_bytes(64, 64), STRICT), attention_body<64, 64, 1, true>)
ATTENTION(attention_64_any, 128, 1, TILE(64, 64, KEYS, 1, narrow_bytes(64, 64), UNALIGNED), attention_body<64, 64, 1, false>)
ATTENTION(attention_128x64, 128, 2, TILE(64, 128, KEYS, 1, narrow_bytes(128, 64), STRICT), attention_body<128, 64, 1, true>)
ATTENTION(attention_128x128, 256, 1, TILE(128, 128, KEYS, 1, narrow_bytes(128, 128), STRICT), attention_body<128, 128, 1, true>)
ATTENTION(attention_128_any, 128, 1, TILE(64, 128, KEYS, 1, narrow_bytes(128, 64), UNALIGNED), attention_body<128, 64, 1, false>)
ATTENTION(attention_256, 256, 1, TILE(64, 256, KEYS, 3, wide_bytes(256, 64), STRICT), wide_body<256, true>)
ATTENTION(attention_256_any, 256, 1, TILE(64, 256, KEYS, 3, wide_bytes(256, 64), UNALIGNED), wide_body<256, false>)
ATTENTION(attention_512, 256, 1, TILE(64, 512, KEYS, 3, wide_bytes(512, 64), STRICT), wide_body<512, true>)
ATTENTION(attention_512_any, 256, 1, TILE(64, 512, KEYS, 3, wide_bytes(512, 64), UNALIGNED), wide_body<512, false>)
