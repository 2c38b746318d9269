#include "device.h"

// C[M,N] = A[M,K] · B[N,K]ᵀ in bfloat16. TMA loads two stages of 64×64 tiles to swizzled shared memory, four warps
// multiply with wgmma, and TMA stores the result. Elements outside a matrix read as zero and are not written.
struct alignas(64) TensorMap { u8 bytes[128]; };

DEVICE u64 descriptor(u32 at) { return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }

DEVICE void barrier_init(u32 b, u32 n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(b), "r"(n) : "memory"); }
DEVICE void barrier_expect(u32 b, u32 n) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(n) : "memory");
}
DEVICE void barrier_wait(u32 b, u32 parity) {
  asm volatile(
      "{\n\t.reg .pred p;\n\tagain_%=:\n\tmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n\t@p bra done_%=;\n\tbra again_%=;\n\tdone_%=:\n\t}" ::"r"(b),
      "r"(parity)
      : "memory");
}
DEVICE void load_tile(u32 to, const void *map, u32 bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
               "l"(map), "r"(bar), "r"(x), "r"(y)
               : "memory");
}
DEVICE void store_tile(const void *map, u32 from, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map), "r"(from), "r"(x), "r"(y)
               : "memory");
}
DEVICE void multiply(float (&d)[32], u64 a, u64 b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
      "%32, %33, 1, 1, 1, 0, 0;"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]),
        "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]),
        "+f"(d[31])
      : "l"(a), "l"(b));
}

KERNEL(128) gemm_tma(const __attribute__((grid_constant)) TensorMap A, const __attribute__((grid_constant)) TensorMap B,
                     const __attribute__((grid_constant)) TensorMap C, int K) {
  extern __shared__ __attribute__((aligned(1024))) u8 memory[];
  enum { BYTES = 64 * 64 * 2 };
  const u32 tiles = shared_address(memory), out = tiles + 4 * BYTES, full = out + BYTES;
  if (thread_x == 0) {
    barrier_init(full, 1);
    barrier_init(full + 8, 1);
    asm volatile("fence.proxy.async;" ::: "memory");
  }
  block_sync();
  const int steps = (K + 63) / 64;
  for (int s = 0; s < 2 && s < steps; s++)
    if (thread_x == 0) {
      barrier_expect(full + s * 8, 2 * BYTES);
      load_tile(tiles + s * 2 * BYTES, &A, full + s * 8, s * 64, block_y * 64);
      load_tile(tiles + s * 2 * BYTES + BYTES, &B, full + s * 8, s * 64, block_x * 64);
    }
  float sum[32] = {};
  for (int s = 0; s < steps; s++) {
    const u32 a = tiles + (s & 1) * 2 * BYTES, b = a + BYTES, bar = full + (s & 1) * 8;
    barrier_wait(bar, s >> 1 & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < 4; k++) multiply(sum, descriptor(a + k * 32), descriptor(b + k * 32));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    block_sync();
    if (thread_x == 0 && s + 2 < steps) {
      barrier_expect(bar, 2 * BYTES);
      load_tile(a, &A, bar, (s + 2) * 64, block_y * 64);
      load_tile(b, &B, bar, (s + 2) * 64, block_x * 64);
    }
  }
  const int row = (thread_x >> 5) * 16 + ((thread_x & 31) >> 2), col = (thread_x & 3) * 2;
#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      u32 at = out + (row + h * 8) * 128 + (j * 8 + col) * 2;
      asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(to_bf16x2(sum[j * 4 + h * 2], sum[j * 4 + h * 2 + 1])) : "memory");
    }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  block_sync();
  if (thread_x == 0) {
    store_tile(&C, out, block_x * 64, block_y * 64);
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
  }
}
