// Weights in their own bytes become bfloat16, just before the product that reads them.
//
//   widen         y = d·q, or d·q − m, for blocks of 32, 64 or 256 values with their scales (GGUF's formats)
//   widen_scaled  y = q · (scale · row scale · block scale) · column factor, for values whose scales lie elsewhere
//   rotate        y = x·H for each group of G columns: H is the Kronecker power of [1 1 1 −1; 1 1 −1 1; 1 −1 1 1; −1 1 1 1]
//                 with G rows, divided by √G
//
// inference/tensor says what the bytes mean. Its operations are done here in the same order, each rounded once, so that
// the bits are those that the host would store.
//
// A thread of widen and widen_scaled makes eight values of a row, which lie in the same block and become one store of 16
// bytes. Rows follow each other without gaps, on both sides.
//
// Rate: memory is the limit, the stored bytes and two bytes for each value over the card's bandwidth. A value takes 4 to
// 12 instructions.
#include "rotation.h"

OP u32 permute(u32 low, u32 high, u32 selector) { return __nvvm_prmt(low, high, selector); }
OP float half_at(const u8 *p) { return (float)__builtin_bit_cast(_Float16, ldg<u16>(p)); }
OP u32 byte_at(const u8 *p) { return ldg<u8>(p); }

// bytes8 loads eight bytes from an address that is a multiple of ALIGN.
template <int ALIGN> OP void bytes8(u32 (&w)[2], const u8 *p) {
  UNROLL
  for (int i = 0; i < 2; i++) {
    if (ALIGN >= 4) {
      w[i] = ldg<u32>(p + 4 * i);
    } else if (ALIGN == 2) {
      w[i] = ldg<u16>(p + 4 * i) | (u32)ldg<u16>(p + 4 * i + 2) << 16;
    } else {
      w[i] = byte_at(p + 4 * i) | byte_at(p + 4 * i + 1) << 8 | byte_at(p + 4 * i + 2) << 16 | byte_at(p + 4 * i + 3) << 24;
    }
  }
}

// number returns byte i of w as a float, minus less: the byte becomes the lowest bits of 2^23.
OP float number(u32 w, int i, float less) { return f32_of_bits(permute(w, 0x4b000000u, 0x7440 + i)) - (8388608.0f + less); }
// numbers8 converts eight unsigned bytes, minus less, multiplied by scale.
OP void numbers8(float (&y)[8], const u32 (&w)[2], float less, float scale) {
  UNROLL
  for (int i = 0; i < 8; i++) y[i] = times(number(w[i / 4], i % 4, less), scale);
}
// lessened subtracts a block's minimum.
OP void lessened(float (&y)[8], float least) {
  UNROLL
  for (float &v : y) v = minus(v, least);
}
// signed8 is numbers8 for signed bytes.
OP void signed8(float (&y)[8], const u32 (&w)[2], float scale) {
  const u32 moved[2] = {w[0] ^ 0x80808080u, w[1] ^ 0x80808080u};
  numbers8(y, moved, 128, scale);
}

// nibbles keeps the lower four bits of each byte of w >> shift.
OP void nibbles(u32 (&w)[2], int shift) {
  UNROLL
  for (u32 &v : w) v = v >> shift & 0x0f0f0f0fu;
}
// add_bits adds bits 0 to 7 of bits, times 16, to the eight bytes of w.
OP void add_bits(u32 (&w)[2], u32 bits) {
  UNROLL
  for (int i = 0; i < 2; i++) w[i] |= ((bits >> 4 * i & 15) * 0x00204081u & 0x01010101u) << 4;
}

// Table is 16 signed bytes. looked_up replaces each byte of w, which is less than 16, by its entry.
struct Table {
  u32 v[4];
};
static constexpr Table IQ4 = {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}};
// TWICE_E2M1 has the doubled values of E2M1: 0 1 2 3 4 6 8 12, and the same negated.
static constexpr Table TWICE_E2M1 = {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}};
OP void looked_up(u32 (&w)[2], Table t) {
  UNROLL
  for (u32 &v : w) {
    const u32 pairs = (v | v >> 4) & 0x00ff00ffu, selector = permute(pairs, 0, 0x4420) & 0x7777u;
    const u32 upper = (v >> 3 & 0x01010101u) * 255u;
    v = (permute(t.v[0], t.v[1], selector) & ~upper) | (permute(t.v[2], t.v[3], selector) & upper);
  }
}

// float_of_e4m3 widens an E4M3 without sign: its bits are moved to those of a float with an exponent that is 120 less.
OP float float_of_e4m3(u32 code) { return code == 0x7f ? f32_of_bits(0x7fc00000u) : f32_of_bits(code << 20) * 0x1p120f; }
OP float with_sign(float f, u32 code) { return f32_of_bits(bits_of_f32(f) | (code & 0x80) << 24); }

// FORMAT tells the launchers how many values a block has, and how many bytes.
#define FORMAT(name, values, bytes) EXPORT(name##_values, values) EXPORT(name##_bytes, bytes)

// What follows reads the values [at, at + 8) of a block b, each format in a function of its own.

// In blocks of 32 values the lower four bits of 16 bytes are the first half, and the upper four bits the second.
template <int ALIGN> OP void halves(u32 (&w)[2], const u8 *qs, int at) {
  bytes8<ALIGN>(w, qs + at % 16);
  nibbles(w, at / 16 * 4);
}
OP void read_q4_0(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<2>(w, b + 2, at);
  numbers8(y, w, 8, half_at(b));
}
OP void read_q4_1(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<4>(w, b + 4, at);
  numbers8(y, w, 0, half_at(b));
  lessened(y, -half_at(b + 2));
}
OP void read_q5_0(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<2>(w, b + 6, at);
  add_bits(w, byte_at(b + 2 + at / 8));
  numbers8(y, w, 16, half_at(b));
}
OP void read_q5_1(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<4>(w, b + 8, at);
  add_bits(w, byte_at(b + 4 + at / 8));
  numbers8(y, w, 0, half_at(b));
  lessened(y, -half_at(b + 2));
}
OP void read_q8_0(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  bytes8<2>(w, b + 2 + at);
  signed8(y, w, half_at(b));
}
OP void read_iq4_nl(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<2>(w, b + 2, at);
  looked_up(w, IQ4);
  signed8(y, w, half_at(b));
}
// The scale is 2^(e − 128), of which the two smallest are no normal numbers.
OP void read_mxfp4(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  halves<1>(w, b + 1, at);
  looked_up(w, TWICE_E2M1);
  const u32 e = byte_at(b);
  signed8(y, w, f32_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23));
}
// Four groups of 16 values have a scale each. In a group the lower four bits of eight bytes come first.
OP void read_nvfp4(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  bytes8<4>(w, b + 4 + at / 16 * 8);
  nibbles(w, at / 8 % 2 * 4);
  looked_up(w, TWICE_E2M1);
  const u32 code = byte_at(b + at / 16) & 0x7f;
  signed8(y, w, code == 0x7f ? 0.0f : float_of_e4m3(code) * 0.5f);
}

// Blocks of 256 values have sub-blocks of 16 or 32, whose scales are quantised too. 32 bytes hold two bits of 128 values.
OP void quarters(u32 (&w)[2], const u8 *qs, int at) {
  bytes8<2>(w, qs + at / 128 * 32 + at % 32);
  UNROLL
  for (u32 &v : w) v = v >> at / 32 % 4 * 2 & 0x03030303u;
}
OP void read_q2_k(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  quarters(w, b + 16, at);
  const u32 both = byte_at(b + at / 16);
  numbers8(y, w, 0, times(half_at(b + 80), (float)(both & 15)));
  lessened(y, times(half_at(b + 82), (float)(both >> 4)));
}
OP void read_q3_k(float (&y)[8], const u8 *b, int at) {
  u32 w[2], high[2];
  quarters(w, b + 32, at);
  bytes8<2>(high, b + at % 32);
  UNROLL
  for (int i = 0; i < 2; i++) w[i] |= (high[i] >> at / 32 & 0x01010101u) << 2;
  const int i = at / 16;
  const int scale = (byte_at(b + 96 + i % 8) >> i / 8 * 4 & 15) | (byte_at(b + 104 + i % 4) >> i / 4 * 2 & 3) << 4;
  numbers8(y, w, 4, times(half_at(b + 108), (float)(scale - 32)));
}
// scale_and_least unpacks the scale and the minimum of sub-block j of Q4_K and Q5_K from 12 bytes.
OP void scale_and_least(float &scale, float &least, const u8 *b, int j) {
  const u8 *q = b + 4;
  u32 s, m;
  if (j < 4) {
    s = byte_at(q + j) & 63, m = byte_at(q + j + 4) & 63;
  } else {
    const u32 both = byte_at(q + j + 4);
    s = (both & 15) | byte_at(q + j - 4) >> 6 << 4, m = both >> 4 | byte_at(q + j) >> 6 << 4;
  }
  scale = times(half_at(b), (float)s), least = times(half_at(b + 2), (float)m);
}
OP void read_q4_k(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  bytes8<4>(w, b + 16 + at / 64 * 32 + at % 32);
  nibbles(w, at / 32 % 2 * 4);
  float scale, least;
  scale_and_least(scale, least, b, at / 32);
  numbers8(y, w, 0, scale);
  lessened(y, least);
}
OP void read_q5_k(float (&y)[8], const u8 *b, int at) {
  u32 w[2], high[2];
  bytes8<4>(w, b + 48 + at / 64 * 32 + at % 32);
  nibbles(w, at / 32 % 2 * 4);
  bytes8<4>(high, b + 16 + at % 32);
  UNROLL
  for (int i = 0; i < 2; i++) w[i] |= (high[i] >> at / 32 & 0x01010101u) << 4;
  float scale, least;
  scale_and_least(scale, least, b, at / 32);
  numbers8(y, w, 0, scale);
  lessened(y, least);
}
OP void read_q6_k(float (&y)[8], const u8 *b, int at) {
  const int half = at / 128, part = at / 32 % 4;
  u32 w[2], high[2];
  bytes8<2>(w, b + half * 64 + part % 2 * 32 + at % 32);
  nibbles(w, part / 2 * 4);
  bytes8<2>(high, b + 128 + half * 32 + at % 32);
  UNROLL
  for (int i = 0; i < 2; i++) w[i] |= (high[i] >> part * 2 & 0x03030303u) << 4;
  numbers8(y, w, 32, times(half_at(b + 208), (float)(signed char)byte_at(b + 192 + at / 16)));
}
OP void read_iq4_xs(float (&y)[8], const u8 *b, int at) {
  u32 w[2];
  const int i = at / 32;
  halves<4>(w, b + 8 + 16 * i, at % 32);
  looked_up(w, IQ4);
  const int scale = (byte_at(b + 4 + i / 2) >> i % 2 * 4 & 15) | (ldg<u16>(b + 2) >> 2 * i & 3) << 4;
  signed8(y, w, times(half_at(b), (float)(scale - 32)));
}

OP void store_chunk(u8 *dst, i64 chunk, const float (&y)[8]) {
  stg(dst + chunk * 16, u32x4{round_pair(y[0], y[1]), round_pair(y[2], y[3]), round_pair(y[4], y[5]), round_pair(y[6], y[7])});
}

// chunks is the number of groups of eight values.
#define WIDEN(name, values, bytes)                                                                                   \
  FORMAT(name, values, bytes)                                                                                        \
  KERNEL THREADS(256, 1) void widen_from_##name(u8 *dst, u8 *src, int chunks, float scale) {                         \
    const i64 chunk = (i64)BLOCK_X * 256 + TID;                                                                      \
    if (chunk >= chunks) return;                                                                                     \
    float y[8];                                                                                                      \
    read_##name(y, src + chunk / (values / 8) * bytes, (int)(chunk % (values / 8)) * 8);                             \
    UNROLL                                                                                                           \
    for (float &v : y) v = times(v, scale);                                                                          \
    store_chunk(dst, chunk, y);                                                                                      \
  }
WIDEN(q4_0, 32, 18)
WIDEN(q4_1, 32, 20)
WIDEN(q5_0, 32, 22)
WIDEN(q5_1, 32, 24)
WIDEN(q8_0, 32, 34)
WIDEN(q2_k, 256, 84)
WIDEN(q3_k, 256, 110)
WIDEN(q4_k, 256, 144)
WIDEN(q5_k, 256, 176)
WIDEN(q6_k, 256, 210)
WIDEN(iq4_nl, 32, 18)
WIDEN(iq4_xs, 256, 136)
WIDEN(mxfp4, 32, 17)
WIDEN(nvfp4, 64, 36)

// Scales is what multiplies a value besides one scale for all. Pointers may be 0. Block scales are a matrix with a row for
// `height` rows and a column for `width` columns, whose rows are `stride` scales apart; row 0 of the weight is row
// `first` of `total`, behind the last of which comes row 0 again. Swizzled ones have the order of tensor.BlockScales.
struct Scales {
  const u8 *rows, *blocks, *columns;
  int format, height, width, stride, swizzled, first, total;
};
// The formats of block scales: those of the launcher's Blocks.
enum { SCALE_F32, SCALE_F16, SCALE_BF16, SCALE_E4M3, SCALE_E8M0 };
EXPORT(scale_f32, SCALE_F32)
EXPORT(scale_f16, SCALE_F16)
EXPORT(scale_bf16, SCALE_BF16)
EXPORT(scale_e4m3, SCALE_E4M3)
EXPORT(scale_e8m0, SCALE_E8M0)

OP float block_scale(const Scales &s, int row, int col) {
  const u32 r = (u32)(s.first + row) % (u32)s.total / (u32)s.height, c = (u32)col / (u32)s.width;
  i64 at = (i64)r * s.stride + c;
  if (s.swizzled) at = ((i64)(r / 128 * (s.stride / 4) + c / 4)) * 512 + r % 32 * 16 + r % 128 / 32 * 4 + c % 4;
  switch (s.format) {
  case SCALE_F32: return ldg<float>(s.blocks + 4 * at);
  case SCALE_F16: return half_at(s.blocks + 2 * at);
  case SCALE_BF16: return widen(ldg<bf16>(s.blocks + 2 * at));
  case SCALE_E8M0: return f32_of_bits(byte_at(s.blocks + at) << 23);
  }
  const u32 code = byte_at(s.blocks + at);
  return with_sign(float_of_e4m3(code & 0x7f), code);
}

// codes_x reads eight values of a format without scales; at is the number of the first value.
OP void codes_e4m3(float (&y)[8], const u8 *src, i64 at) {
  u32 w[2];
  bytes8<4>(w, src + at);
  UNROLL
  for (int i = 0; i < 8; i++) {
    const u32 code = w[i / 4] >> i % 4 * 8;
    y[i] = with_sign(float_of_e4m3(code & 0x7f), code);
  }
}
OP void codes_e5m2(float (&y)[8], const u8 *src, i64 at) {
  u32 w[2];
  bytes8<4>(w, src + at);
  UNROLL
  for (int i = 0; i < 8; i++) y[i] = (float)__builtin_bit_cast(_Float16, (u16)(w[i / 4] >> i % 4 * 8 << 8));
}
OP void codes_int8(float (&y)[8], const u8 *src, i64 at) {
  u32 w[2];
  bytes8<4>(w, src + at);
  signed8(y, w, 1);
}
// spread puts the eight codes of four bits into a byte each. If LOW, the even columns are in the lower halves of bytes.
template <bool LOW> OP void codes4(float (&y)[8], const u8 *src, i64 at) {
  const u32 v = ldg<u32>(src + at / 2), even = (LOW ? v : v >> 4) & 0x0f0f0f0fu, odd = (LOW ? v >> 4 : v) & 0x0f0f0f0fu;
  u32 w[2] = {permute(even, odd, 0x5140), permute(even, odd, 0x7362)};
  looked_up(w, TWICE_E2M1);
  signed8(y, w, 0.5f);
}
OP void codes_e2m1(float (&y)[8], const u8 *src, i64 at) { codes4<false>(y, src, at); }
OP void codes_e2m1_low(float (&y)[8], const u8 *src, i64 at) { codes4<true>(y, src, at); }

OP void scaled(float (&y)[8], const Scales &s, float scale, int row, int col) {
  if (s.rows) scale = times(scale, ldg<float>(s.rows + (i64)row * 4));
  if (s.blocks) scale = times(scale, block_scale(s, row, col));
  UNROLL
  for (float &v : y) v = times(v, scale);
  if (s.columns) {
    UNROLL
    for (int i = 0; i < 8; i++) y[i] = times(y[i], ldg<float>(s.columns + (i64)(col + i) * 4));
  }
}
#define WIDEN_SCALED(name, values, bytes)                                                                            \
  FORMAT(name, values, bytes)                                                                                        \
  KERNEL THREADS(256, 1) void widen_scaled_from_##name(                                                              \
      u8 *dst, u8 *src, int chunks, int cols, float scale, u8 *row_scales, u8 *block_scales, u8 *column_factors,     \
      int format, int height, int width, int stride, int swizzled, int first, int total) {                           \
    const i64 chunk = (i64)BLOCK_X * 256 + TID;                                                                      \
    if (chunk >= chunks) return;                                                                                     \
    const u32 width8 = (u32)cols / 8, row = (u32)chunk / width8, col = (u32)chunk % width8 * 8;                      \
    float y[8];                                                                                                      \
    codes_##name(y, src, chunk * 8);                                                                                 \
    scaled(y, {row_scales, block_scales, column_factors, format, height, width, stride, swizzled, first, total},     \
           scale, (int)row, (int)col);                                                                               \
    store_chunk(dst, chunk, y);                                                                                      \
  }
WIDEN_SCALED(e4m3, 1, 1)
WIDEN_SCALED(e5m2, 1, 1)
WIDEN_SCALED(int8, 1, 1)
WIDEN_SCALED(e2m1, 2, 1)
WIDEN_SCALED(e2m1_low, 2, 1)

static constexpr int ROTATED = 2048;
EXPORT(rotated_columns, ROTATED)
EXPORT(rotation_limit, ROTATION_LIMIT)
// A block computes 2048 values of a row.
template <bool ALIGNED> DEV void rotate_body(Mat dst, Mat x, int cols, int group, float norm) {
  SHARED static float exchange[exchanged(ROTATED)];
  const int pieces = (cols + ROTATED - 1) / ROTATED, row = BLOCK_X / pieces, from = BLOCK_X % pieces * ROTATED;
  float v[16];
  rotated<ALIGNED>(v, exchange, x, row, from, cols, group, norm);
  UNROLL
  for (int i = 0; i < 16; i++)
    if (from + rotated_column(i) < cols) store1(v[i], dst, row, from + rotated_column(i));
}
KERNEL THREADS(128, 1) void rotate(PLAIN(dst), PLAIN(x), int cols, int group, float norm) {
  rotate_body<true>(MAT(dst), MAT(x), cols, group, norm);
}
KERNEL THREADS(128, 1) void rotate_any(PLAIN(dst), PLAIN(x), int cols, int group, float norm) {
  rotate_body<false>(MAT(dst), MAT(x), cols, group, norm);
}
