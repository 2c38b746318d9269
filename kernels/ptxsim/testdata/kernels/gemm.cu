#include "device.h"

// C[M,N] = A[M,K] · B[N,K]ᵀ with bfloat16 operands and results and float32 sums. K is a multiple of 8, N of 2.
// A block of 256 threads computes a tile of 128×128 from slices of 32 columns, of which three are in flight. 16-byte
// chunks are permuted, so that neither copies nor ldmatrix have bank conflicts.
enum { TILE = 128, SLICE = 32, STAGES = 3, BYTES = TILE * SLICE * 2 };

DEVICE u32 place(int row, int chunk) { return (u32)(row * 64 + ((chunk ^ ((row >> 1) & 3)) << 4)); }

DEVICE void copy_tile(u32 to, const bf16 *from, int row0, int rows, int k0, int k) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int c = thread_x + i * 256, row = c >> 2, chunk = c & 3;
    bool inside = row0 + row < rows && k0 + chunk * 8 < k;
    const bf16 *source = inside ? from + (u64)(row0 + row) * k + k0 + chunk * 8 : from;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + place(row, chunk)), "l"(source), "r"(inside ? 16 : 0)
                 : "memory");
  }
}

DEVICE void load_matrices(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}

DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

KERNEL(256) gemm(const bf16 *A, const bf16 *B, bf16 *C, int M, int N, int K) {
  extern __shared__ __attribute__((aligned(128))) u8 memory[];
  const u32 sa = shared_address(memory), sb = sa + STAGES * BYTES;
  const int m0 = block_y * TILE, n0 = block_x * TILE;
  const int lane = thread_x & 31, warp = thread_x >> 5, wm = (warp >> 2) * 64, wn = (warp & 3) * 32;
  float sum[4][4][4] = {};
  const int slices = (K + SLICE - 1) / SLICE;
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < slices) {
      copy_tile(sa + s * BYTES, A, m0, M, s * SLICE, K);
      copy_tile(sb + s * BYTES, B, n0, N, s * SLICE, K);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  int from = 0, to = STAGES - 1;
  for (int s = 0; s < slices; s++) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
    block_sync();
    if (s + STAGES - 1 < slices) {
      copy_tile(sa + to * BYTES, A, m0, M, (s + STAGES - 1) * SLICE, K);
      copy_tile(sb + to * BYTES, B, n0, N, (s + STAGES - 1) * SLICE, K);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
    const u32 a0 = sa + from * BYTES, b0 = sb + from * BYTES;
#pragma unroll
    for (int k = 0; k < 2; k++) {
      u32 a[4][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 4; i++) load_matrices(a[i], a0 + place(wm + i * 16 + (lane & 15), k * 2 + (lane >> 4)));
#pragma unroll
      for (int j = 0; j < 2; j++)
        load_matrices(b[j], b0 + place(wn + j * 16 + (lane & 7) + ((lane >> 4) << 3), k * 2 + ((lane >> 3) & 1)));
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) multiply(sum[i][j], a[i], b[j >> 1][(j & 1) * 2], b[j >> 1][(j & 1) * 2 + 1]);
    }
    from = from + 1 == STAGES ? 0 : from + 1;
    to = to + 1 == STAGES ? 0 : to + 1;
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = m0 + wm + i * 16 + (lane >> 2), col = n0 + wn + j * 8 + (lane & 3) * 2;
      if (col < N && row < M) *(u32 *)(C + (u64)row * N + col) = to_bf16x2(sum[i][j][0], sum[i][j][1]);
      if (col < N && row + 8 < M) *(u32 *)(C + (u64)(row + 8) * N + col) = to_bf16x2(sum[i][j][2], sum[i][j][3]);
    }
}
