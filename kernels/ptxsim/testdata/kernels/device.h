// What the kernels of this folder need of CUDA's headers.
#pragma once
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short u16;
typedef unsigned char u8;
typedef unsigned short bf16;  // storage only
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define DEVICE static inline __attribute__((device, always_inline))
#define KERNEL(threads) extern "C" __attribute__((global, launch_bounds(threads))) void
#define thread_x ((int)__nvvm_read_ptx_sreg_tid_x())
#define block_x ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define block_y ((int)__nvvm_read_ptx_sreg_ctaid_y())

DEVICE void block_sync() { __syncthreads(); }
DEVICE u32 shared_address(const void *p) { return (u32)(u64)(__attribute__((address_space(3))) const void *)p; }
DEVICE float from_bf16(bf16 h) { return __builtin_bit_cast(float, (u32)h << 16); }
DEVICE bf16 to_bf16(float f) {
  u16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(f));
  return r;
}
DEVICE u32 to_bf16x2(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
DEVICE float exp2_fast(float x) { return __nvvm_ex2_approx_ftz_f(x); }
DEVICE float rsqrt_fast(float x) { return __nvvm_rsqrt_approx_ftz_f(x); }
DEVICE float xor_lane(float v, int mask) {
  return __builtin_bit_cast(float, __nvvm_shfl_sync_bfly_i32(0xffffffffu, __builtin_bit_cast(int, v), mask, 31));
}
