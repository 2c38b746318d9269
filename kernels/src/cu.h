// cu.h is the base of all kernels: number formats, indices, and functions for the instructions that C++ cannot express.
// clang compiles it for the device without CUDA's own headers.
//
// bfloat16 is a storage format only: loads widen it to float, stores round to the nearest value, ties to even.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;
using bf16 = u16;

struct alignas(16) u32x4 {
  u32 v[4];
};
struct alignas(16) f32x4 {
  float v[4];
};
struct alignas(8) f32x2 {
  float v[2];
};

#define DEV static inline __attribute__((device, always_inline))
// The line number of an OP's instructions is that of the line that calls it.
#define OP DEV __attribute__((nodebug))
#define MEMBER inline __attribute__((device, always_inline))
// INLINE is for lambdas whose captured variables must stay in registers.
#define INLINE __attribute__((always_inline))
#define KERNEL extern "C" __attribute__((global))
// THREADS states the block's size and how many blocks a multiprocessor shall hold at once.
#define THREADS(threads, blocks) __attribute__((launch_bounds(threads, blocks)))
// TILE describes a kernel whose block computes m × n values of the result from slices of k columns. `stages` slices are
// in shared memory at a time, and `bytes` is the dynamic shared memory of a block. The compiled code does not depend on
// it: build.sh defines TABLE when it reads the table of kernels.
#ifdef TABLE
#define TILE(m, n, k, stages, bytes, takes) __attribute__((annotate("tile", m, n, k, stages, bytes, takes)))
#define EXPORT(name, value) __attribute__((annotate("constant", value))) void constant_##name();
#else
#define TILE(...)
#define EXPORT(...)
#endif
// TILE_OF is TILE for a Tile of tile.h or a Grid of grid.h.
#define TILE_OF(T, n, takes) TILE(T::BM, n, T::BK, T::STAGES, T::SHARED_BYTES, takes)
// EXPORT, which is defined above, makes a number known to the launchers, as a constant in kernels/table.go.
// STRICT kernels take rows that start at multiples of 16 bytes and whose width is a multiple of 8. For LOOSE ones the
// result may lie anywhere and be float32, for UNALIGNED ones the operands may lie anywhere too. Kernels without TILE
// are UNALIGNED if their name ends in _any.
enum Takes { STRICT, LOOSE, UNALIGNED };
static constexpr Takes takes(bool aligned, bool whole) { return !aligned ? UNALIGNED : whole ? STRICT : LOOSE; }
#define SHARED __attribute__((shared))
#define DYNAMIC_SHARED(name) extern SHARED __attribute__((aligned(128))) u8 name[]
#define GLOBAL __attribute__((address_space(1)))
#define UNROLL _Pragma("unroll")
#define PRAGMA(text) _Pragma(#text)
#define UNROLL_IF(wanted) PRAGMA(unroll((wanted) ? 64 : 1))

#define TID ((int)__nvvm_read_ptx_sreg_tid_x())
#define LANE (TID & 31)
#define WARP (TID >> 5)
#define BLOCK_X ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define BLOCK_Y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define BLOCKS_X ((int)__nvvm_read_ptx_sreg_nctaid_x())

// Mat is a matrix in global memory as the launchers pass it. Element (i, j) has the index i·stride + j. Elements are
// float32 if f32 is set, else bfloat16.
struct Mat {
  u8 *data;
  int stride;
  int f32;
};
// A kernel for sm_80 takes a Mat m as PLAIN(m) and uses it as MAT(m). The compiled code has three parameters in its
// place, which lie where the fields would: gorgonia.org/cu passes pointers and numbers, but no structures.
#ifdef TABLE
#define PLAIN(m) Mat m
#define MAT(m) m
#else
#define PLAIN(m) u8 *m##_data, int m##_stride, int m##_f32
#define MAT(m) Mat{m##_data, m##_stride, m##_f32}
#endif

OP void barrier() { __syncthreads(); }

template <typename T> OP T min(T a, T b) { return a < b ? a : b; }
template <typename T> OP T max(T a, T b) { return a > b ? a : b; }

// Global memory, through the instructions that know it is global.
template <typename T> OP T ldg(const void *p) { return *(GLOBAL const T *)p; }
template <typename T> OP void stg(void *p, T v) { *(GLOBAL T *)p = v; }

OP float f32_of_bits(u32 b) { return __builtin_bit_cast(float, b); }
OP u32 bits_of_f32(float f) { return __builtin_bit_cast(u32, f); }
OP float widen(bf16 h) { return f32_of_bits((u32)h << 16); }
OP float widen_low(u32 pair) { return f32_of_bits(pair << 16); }
OP float widen_high(u32 pair) { return f32_of_bits(pair & 0xffff0000u); }
OP bf16 round_bf16(float f) {
  u16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(f));
  return r;
}
OP u32 round_pair(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

// Products and sums that are never contracted to one instruction, which would round once where the host rounds twice.
OP float times(float a, float b) { return __nvvm_mul_rn_f(a, b); }
OP float minus(float a, float b) { return __nvvm_add_rn_f(a, -b); }

// Approximations with a relative error of about 2^-22, far below bfloat16's 2^-9.
OP float exp2_approx(float x) { return __nvvm_ex2_approx_ftz_f(x); }
OP float rsqrt_approx(float x) { return __nvvm_rsqrt_approx_ftz_f(x); }
OP float reciprocal(float x) { return __nvvm_rcp_approx_ftz_f(x); }
#define LOG2E 1.4426950408889634f
OP float silu(float x) { return x * reciprocal(1.0f + exp2_approx(-LOG2E * x)); }

OP u32 shuffle_xor(u32 v, int mask) { return (u32)__nvvm_shfl_sync_bfly_i32(0xffffffffu, (int)v, mask, 31); }
OP float shuffle_xor(float v, int mask) { return f32_of_bits(shuffle_xor(bits_of_f32(v), mask)); }
// warp_sum adds v over the warp. Every lane gets the same bits, because each step adds the same two numbers in both
// lanes of a pair.
OP float warp_sum(float v) {
  UNROLL
  for (int m = 16; m; m >>= 1) v += shuffle_xor(v, m);
  return v;
}

// load8 and store8 move eight columns of a row. If ALIGNED, the eight columns exist and start at a multiple of 16
// bytes. Otherwise they are moved one at a time; columns from cols on are read as 0 and not stored.
template <bool ALIGNED> OP void load8(float (&v)[8], Mat m, i64 row, int col, int cols) {
  const i64 at = row * m.stride + col;
  if (ALIGNED && m.f32) {
    UNROLL
    for (int i = 0; i < 2; i++) {
      const f32x4 p = ldg<f32x4>(m.data + at * 4 + i * 16);
      UNROLL
      for (int j = 0; j < 4; j++) v[i * 4 + j] = p.v[j];
    }
  } else if (ALIGNED) {
    const u32x4 p = ldg<u32x4>(m.data + at * 2);
    UNROLL
    for (int i = 0; i < 4; i++) v[2 * i] = widen_low(p.v[i]), v[2 * i + 1] = widen_high(p.v[i]);
  } else {
    UNROLL
    for (int i = 0; i < 8; i++) {
      v[i] = 0;
      if (col + i < cols) v[i] = m.f32 ? ldg<float>(m.data + (at + i) * 4) : widen(ldg<bf16>(m.data + (at + i) * 2));
    }
  }
}
template <bool ALIGNED> OP void store8(const float (&v)[8], Mat m, i64 row, int col, int cols) {
  const i64 at = row * m.stride + col;
  if (ALIGNED && m.f32) {
    stg(m.data + at * 4, f32x4{v[0], v[1], v[2], v[3]});
    stg(m.data + at * 4 + 16, f32x4{v[4], v[5], v[6], v[7]});
  } else if (ALIGNED) {
    stg(m.data + at * 2, u32x4{round_pair(v[0], v[1]), round_pair(v[2], v[3]), round_pair(v[4], v[5]), round_pair(v[6], v[7])});
  } else {
    UNROLL
    for (int i = 0; i < 8; i++) {
      if (col + i >= cols) continue;
      if (m.f32)
        stg(m.data + (at + i) * 4, v[i]);
      else
        stg(m.data + (at + i) * 2, round_bf16(v[i]));
    }
  }
}
OP float load1(Mat m, i64 row, int col) {
  const i64 at = row * m.stride + col;
  return m.f32 ? ldg<float>(m.data + at * 4) : widen(ldg<bf16>(m.data + at * 2));
}
OP void store1(float v, Mat m, i64 row, int col) {
  const i64 at = row * m.stride + col;
  if (m.f32)
    stg(m.data + at * 4, v);
  else
    stg(m.data + at * 2, round_bf16(v));
}

// Shared memory by its 32-bit address.
OP u32 shared_address(const void *p) { return (u32)(u64)(__attribute__((address_space(3))) const void *)p; }

OP u32x4 load_shared(u32 at) {
  u32x4 w;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(w.v[0]), "=r"(w.v[1]), "=r"(w.v[2]), "=r"(w.v[3]) : "r"(at) : "memory");
  return w;
}
OP void store_shared(u32 at, u32x4 w) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(w.v[0]), "r"(w.v[1]), "r"(w.v[2]), "r"(w.v[3]) : "memory");
}

// copy_async starts a copy of 16 bytes from global to shared memory. With bytes = 0 it stores zeros and reads nothing;
// else bytes is 16.
OP void copy_async(u32 dst, const void *src, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"((GLOBAL const void *)src), "r"(bytes) : "memory");
}
OP void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// copy_async_wait waits for all groups but the N committed last; empty groups count. A barrier must follow it.
template <int N> OP void copy_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// load_matrices loads four 8×8 matrices of bfloat16. Lane l passes the address of row l%8 of matrix l/8.
OP void load_matrices(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
OP void load_matrices_transposed(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
// multiply_add computes d[16, 8] += a[16, 16]·b[16, 8]. Lane l holds the columns 2·(l%4) and 2·(l%4) + 1 of the rows
// l/4 and l/4 + 8 of d.
OP void multiply_add(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// This multiply_add does the same with a[16, 32] and b[32, 8] of int8, whose sums are exact.
OP void multiply_add(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
