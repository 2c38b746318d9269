// Attention on sm_90a: see attention.cu. For heads of 65 to 128 columns and aligned operands.
//
// The name of a kernel gives the number of queries that a block keeps, 64 for each consumer. Keys and values come in
// portions of KEYS, each through its own ring; columns past the head's width and keys past the last arrive as zeros.
// The next scores are multiplied while the last probabilities are multiplied by their values, and the exponentials of
// one consumer run beside the products of the other. In the _turns kernel a consumer issues its products only after the
// other has, so that the two do not compute the same thing at the same time.
//
// All kernels here take the keys in the same order and in the same portions, so that they give the same bits.
// Rate: the limit is wgmma, 4·rows·keys·128 FLOP a head, and the exponentials, one for each score.
#include "hopper.h"
#include "tile.h"

static constexpr int KEYS = 128, D = 128;
// The shared memory of a block: queries, rings of keys and of values, and their barriers.
constexpr int bytes(int rows, int stages) { return rows * D * 2 + 2 * stages * KEYS * D * 2 + (1 + 4 * stages) * 8; }

struct Attention {
  Mat dst;
  int rows, keys, heads, kv_heads, d, causal;
  float scale; // times log2 e
};

DEV float quad_max(float v) {
  v = max(v, shuffle_xor(v, 1));
  return max(v, shuffle_xor(v, 2));
}
DEV float quad_sum(float v) {
  v += shuffle_xor(v, 1);
  return v + shuffle_xor(v, 2);
}

// Softmax is the running maximum and sum of a thread's two rows.
struct Softmax {
  float most[2], sum[2], shrink[2];

  MEMBER void begin() {
    UNROLL
    for (int h = 0; h < 2; h++) most[h] = -__builtin_inff(), sum[h] = 0;
  }
  // take replaces scores by probabilities. Earlier results must be multiplied by shrink afterwards.
  MEMBER void take(float (&s)[KEYS / 8][4], float scale) {
    UNROLL
    for (int h = 0; h < 2; h++) {
      float top = most[h];
      UNROLL
      for (int j = 0; j < KEYS / 8; j++) top = max(top, max(s[j][2 * h], s[j][2 * h + 1]));
      top = quad_max(top);
      shrink[h] = exp2_approx((most[h] - top) * scale);
      const float least = top * scale;
      most[h] = top;
      sum[h] *= shrink[h];
      UNROLL
      for (int j = 0; j < KEYS / 8; j++)
        UNROLL
        for (int c = 2 * h; c < 2 * h + 2; c++) {
          s[j][c] = exp2_approx(s[j][c] * scale - least);
          sum[h] += s[j][c];
        }
    }
  }
};

// mask hides keys from queries. s belongs to row and row + 8, and to the keys first, first + 1, first + 8, ….
DEV void mask(float (&s)[KEYS / 8][4], int row, int first, int keys, int causal) {
  UNROLL
  for (int j = 0; j < KEYS / 8; j++)
    UNROLL
    for (int c = 0; c < 4; c++) {
      const int key = first + j * 8 + c % 2;
      if (key >= keys || (causal && key > row + c / 2 * 8)) s[j][c] = -__builtin_inff();
    }
}

// pack rounds probabilities. They already have the layout of an operand of the next product.
DEV void pack(u32 (&p)[KEYS / 16][4], const float (&s)[KEYS / 8][4]) {
  UNROLL
  for (int x = 0; x < KEYS / 16; x++)
    UNROLL
    for (int c = 0; c < 4; c++) p[x][c] = round_pair(s[2 * x + c / 2][c % 2 * 2], s[2 * x + c / 2][c % 2 * 2 + 1]);
}

template <int CONSUMERS, int STAGES, bool TURNS> DEV void attention_body(const TensorMap &q, const TensorMap &k, const TensorMap &v, const Attention &p) {
  extern SHARED __attribute__((aligned(1024))) u8 panels[];
  constexpr int ROWS = 64 * CONSUMERS, BUFFER = KEYS * D * 2, SPARE = CONSUMERS == 1 ? 40 : 24, OWN = CONSUMERS == 1 ? 208 : 240;
  // Queries, keys and values are two panels each.
  const u32 queries = shared_address(panels), keys = queries + ROWS * D * 2, values = keys + STAGES * BUFFER;
  const u32 queries_full = values + STAGES * BUFFER, keys_full = queries_full + 8, keys_empty = keys_full + STAGES * 8, values_full = keys_empty + STAGES * 8,
            values_empty = values_full + STAGES * 8;
  const int first_row = BLOCK_X * ROWS, head = BLOCK_Y, kv_head = head * p.kv_heads / p.heads;
  const int portions = ((p.causal ? min(p.keys, first_row + ROWS) : p.keys) + KEYS - 1) / KEYS;
  if (TID == 0) {
    mbarrier_init(queries_full, 1);
    UNROLL
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(keys_full + s * 8, 1);
      mbarrier_init(values_full + s * 8, 1);
      mbarrier_init(keys_empty + s * 8, CONSUMERS * 4);
      mbarrier_init(values_empty + s * 8, CONSUMERS * 4);
    }
    mbarriers_ready();
  }
  barrier();

  if (WARP >= CONSUMERS * 4) {
    registers_down<SPARE>();
    if (TID == CONSUMERS * WARPGROUP) {
      mbarrier_expect(queries_full, ROWS * D * 2);
      copy_box(queries, q, queries_full, 0, head, first_row);
      copy_box(queries + ROWS * PANEL_ROW, q, queries_full, PANEL, head, first_row);
      Ring<STAGES> ring;
      for (int i = 0; i < portions; i++, ring.next()) {
        const u32 to = ring.slot * BUFFER, slot = ring.slot * 8;
        mbarrier_wait(keys_empty + slot, ring.parity ^ 1);
        mbarrier_expect(keys_full + slot, BUFFER);
        copy_box(keys + to, k, keys_full + slot, 0, kv_head, i * KEYS);
        copy_box(keys + to + KEYS * PANEL_ROW, k, keys_full + slot, PANEL, kv_head, i * KEYS);
        mbarrier_wait(values_empty + slot, ring.parity ^ 1);
        mbarrier_expect(values_full + slot, BUFFER);
        copy_box(values + to, v, values_full + slot, 0, kv_head, i * KEYS);
        copy_box(values + to + KEYS * PANEL_ROW, v, values_full + slot, PANEL, kv_head, i * KEYS);
      }
    }
    return;
  }
  registers_up<OWN>();
  const int own = WARP / 4 * 64, row = first_row + WARP * 16 + (LANE >> 2);
  float s[KEYS / 8][4], o[D / 8][4];
  u32 weights[KEYS / 16][4];
  Ring<STAGES> key_ring, value_ring;
  Softmax softmax;
  softmax.begin();
  auto multiply_keys = [&]() INLINE {
    mbarrier_wait(keys_full + key_ring.slot * 8, key_ring.parity);
    const u32 a = queries + own * PANEL_ROW, b = keys + key_ring.slot * BUFFER;
    hold(s);
    products_begin();
    UNROLL
    for (int x = 0; x < D / 16; x++)
      multiply_panels(s, by_rows(a + x / 4 * ROWS * PANEL_ROW + x % 4 * 32), by_rows(b + x / 4 * KEYS * PANEL_ROW + x % 4 * 32), x > 0);
    products_commit();
  };
  auto leave_keys = [&]() INLINE {
    hold(s);
    if (LANE == 0) mbarrier_arrive(keys_empty + key_ring.slot * 8);
    key_ring.next();
  };
  auto multiply_values = [&](int add) INLINE {
    mbarrier_wait(values_full + value_ring.slot * 8, value_ring.parity);
    const u32 b = values + value_ring.slot * BUFFER;
    hold(o);
    products_begin();
    UNROLL
    for (int x = 0; x < KEYS / 16; x++) multiply_columns(o, weights[x], by_columns(b + x * 16 * PANEL_ROW, KEYS * PANEL_ROW), add + x > 0);
    products_commit();
  };
  auto leave_values = [&]() INLINE {
    hold(o);
    if (LANE == 0) mbarrier_arrive(values_empty + value_ring.slot * 8);
    value_ring.next();
  };
  auto take = [&](int first) INLINE {
    if (first + KEYS > p.keys || (p.causal && first + KEYS > first_row + WARP * 16)) mask(s, row, first + LANE % 4 * 2, p.keys, p.causal);
    softmax.take(s, p.scale);
  };

  // A consumer's turn is given by the other one. The second begins by giving a turn. barrier() uses barrier 0.
  constexpr int BOTH = 2 * WARPGROUP;
  const int turn = 1 + WARP / 4, others_turn = 2 - WARP / 4;
  auto take_turn = [&]() INLINE {
    if (TURNS) barrier_sync<BOTH>(turn);
  };
  auto give_turn = [&](int i) INLINE {
    if (TURNS && (turn == 1 || i < portions - 1)) barrier_arrive<BOTH>(others_turn);
  };
  if (TURNS && turn == 2) barrier_arrive<BOTH>(others_turn);

  mbarrier_wait(queries_full, 0);
  take_turn();
  multiply_keys();
  give_turn(0);
  products_wait<0>();
  leave_keys();
  take(0);
  pack(weights, s);
  for (int i = 1; i < portions; i++) {
    take_turn();
    multiply_keys();
    multiply_values(i > 1);
    give_turn(i);
    products_wait<1>();
    leave_keys();
    take(i * KEYS);
    products_wait<0>();
    leave_values();
    UNROLL
    for (int j = 0; j < D / 8; j++)
      UNROLL
      for (int c = 0; c < 4; c++) o[j][c] *= softmax.shrink[c / 2];
    pack(weights, s);
  }
  multiply_values(portions > 1);
  products_wait<0>();
  hold(o);

  UNROLL
  for (int h = 0; h < 2; h++) softmax.sum[h] = 1.0f / quad_sum(softmax.sum[h]);
  Output out = {p.dst, {}, {}, p.rows, p.d, 0};
  out.dst.data += (i64)head * p.d * 2;
  store<1, D / 32, true>(out, InOrder{out.rows}, first_row + WARP * 16, 0, [&](int, int j, int c) INLINE { return o[j][c] * softmax.sum[c / 2]; });
}

#define ATTENTION(name, N, stages, blocks, turns) KERNEL THREADS((N + 1) * WARPGROUP, blocks)                        \
  TILE(64 * N, D, KEYS, stages, bytes(64 * N, stages), STRICT) void name(TENSOR q, TENSOR k, TENSOR v, Mat dst,      \
      int rows, int keys, int heads, int kv_heads, int d, int causal, float scale) {                                 \
    attention_body<N, stages, turns>(q, k, v, {dst, rows, keys, heads, kv_heads, d, causal, scale * LOG2E});         \
  }

ATTENTION(attention_wgmma_128, 2, 2, 1, false)
ATTENTION(attention_wgmma_128_turns, 2, 2, 1, true)
ATTENTION(attention_wgmma_64, 1, 1, 2, false)
