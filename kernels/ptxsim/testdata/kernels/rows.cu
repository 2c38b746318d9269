#include "device.h"

// z = x + y, float32.
KERNEL(256) vector_add(const float *x, const float *y, float *z, int n) {
  int i = block_x * 256 + thread_x;
  if (i < n) z[i] = x[i] + y[i];
}

DEVICE float block_sum(float v, float *part) {
  for (int m = 16; m; m >>= 1) v += xor_lane(v, m);
  if ((thread_x & 31) == 0) part[thread_x >> 5] = v;
  block_sync();
  v = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) v += part[i];
  return v;
}

// y = x / sqrt(mean(x²) + eps) · w, bfloat16, with one block for each row.
KERNEL(128) rms_norm(const bf16 *x, const bf16 *w, bf16 *y, int n, float eps) {
  __shared__ float part[4];
  const bf16 *row = x + (u64)block_x * n;
  float sum = 0;
  for (int i = thread_x; i < n; i += 128) {
    float v = from_bf16(row[i]);
    sum += v * v;
  }
  float r = rsqrt_fast(block_sum(sum, part) / (float)n + eps);
  for (int i = thread_x; i < n; i += 128) y[(u64)block_x * n + i] = to_bf16(from_bf16(row[i]) * r * from_bf16(w[i]));
}

// y = softmax(x), float32, with one block for each row.
KERNEL(128) softmax(const float *x, float *y, int n) {
  __shared__ float largest[4], part[4];
  const float *row = x + (u64)block_x * n;
  float top = -__builtin_inff();
  for (int i = thread_x; i < n; i += 128) top = __nvvm_fmax_f(top, row[i]);
  for (int m = 16; m; m >>= 1) top = __nvvm_fmax_f(top, xor_lane(top, m));
  if ((thread_x & 31) == 0) largest[thread_x >> 5] = top;
  block_sync();
#pragma unroll
  for (int i = 0; i < 4; i++) top = __nvvm_fmax_f(top, largest[i]);
  float sum = 0;
  for (int i = thread_x; i < n; i += 128) sum += exp2_fast((row[i] - top) * 1.4426950408889634f);
  sum = block_sum(sum, part);
  for (int i = thread_x; i < n; i += 128) y[(u64)block_x * n + i] = exp2_fast((row[i] - top) * 1.4426950408889634f) / sum;
}
