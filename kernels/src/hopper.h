// hopper.h has the instructions of sm_90a: copies of tensors by the memory's own engine (TMA), barriers in shared
// memory that count arrivals and bytes, and matrix products of four warps (wgmma) whose operands are in shared memory.
//
// A block has consumers of four warps each, which multiply, and behind them a producer, whose first thread issues the
// copies. They synchronise at two barriers for each buffer of a ring: full and empty.
//
// wgmma is asynchronous in its registers too, which the compiler does not know. hold() tells it that accumulators are
// complete before a product starts, and unchanged until a wait has passed.
#pragma once
#include "cu.h"

// TensorMap is the driver's description of a tensor. It is a parameter of the kernel.
struct alignas(64) TensorMap {
  u8 bytes[128];
};
#define TENSOR const __attribute__((grid_constant)) TensorMap

// Rows of 64 bfloat16 columns are swizzled in shared memory, in a pattern of TMA and wgmma that repeats every 8 rows.
static constexpr int PANEL = 64, PANEL_ROW = PANEL * 2, PANEL_GROUP = 8 * PANEL_ROW;

// A warpgroup is four warps. All four give registers up together, or get registers that another warpgroup gave up.
enum { WARPGROUP = 128 };
template <int N> OP void registers_down() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> OP void registers_up() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }

// The hardware's sixteen barriers, which need no memory. SIZE threads complete one; barrier_sync waits for that.
template <int SIZE> OP void barrier_sync(int id) { asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(SIZE) : "memory"); }
template <int SIZE> OP void barrier_arrive(int id) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "n"(SIZE) : "memory"); }

OP void mbarrier_init(u32 at, u32 arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(arrivals) : "memory"); }
// mbarriers_ready makes initialised barriers visible to the copies. A barrier must follow it.
OP void mbarriers_ready() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
OP void mbarrier_arrive(u32 at) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory"); }
// mbarrier_expect arrives, and announces the number of bytes that copies will write.
OP void mbarrier_expect(u32 at, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
}
// mbarrier_wait waits for the end of the phase of this parity. For a new barrier, the phase of parity 1 has ended.
OP void mbarrier_wait(u32 at, u32 parity) {
  asm volatile(
      "{\n\t.reg .pred done;\n\tagain_%=:\n\tmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t@!done bra again_%=;\n\t}" ::"r"(at),
      "r"(parity)
      : "memory");
}

// copy_box copies the map's box from (x, y …) on. Values outside of the tensor are zeros, and count as copied.
OP void copy_box(u32 dst, const TensorMap &map, u32 full, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(dst),
               "l"(&map), "r"(full), "r"(x), "r"(y)
               : "memory");
}
OP void copy_box(u32 dst, const TensorMap &map, u32 full, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(dst),
               "l"(&map), "r"(full), "r"(x), "r"(y), "r"(z)
               : "memory");
}

// Ring counts through STAGES buffers, as one thread or warp uses them in turn.
template <int STAGES> struct Ring {
  int slot = 0;
  u32 parity = 0;

  MEMBER void next() {
    if (++slot == STAGES) slot = 0, parity ^= 1;
  }
};

// Descriptors of operands of wgmma: rows of k columns, or k rows of n columns in panels that are `panel` bytes apart.
OP u64 by_rows(u32 at) { return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | (u64)(PANEL_GROUP >> 4) << 32 | 1ull << 62; }
OP u64 by_columns(u32 at, u32 panel) {
  return (u64)((at & 0x3ffff) >> 4) | (u64)(panel >> 4) << 16 | (u64)(PANEL_GROUP >> 4) << 32 | 1ull << 62;
}

template <int N> OP void hold(float (&d)[N][4]) {
  UNROLL
  for (int j = 0; j < N; j++) asm volatile("" : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])::"memory");
}
template <int N> OP void hold(int (&d)[N][4]) {
  UNROLL
  for (int j = 0; j < N; j++) asm volatile("" : "+r"(d[j][0]), "+r"(d[j][1]), "+r"(d[j][2]), "+r"(d[j][3])::"memory");
}
OP void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
OP void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// products_wait waits for all groups but the N that were committed last. hold() their sums afterwards.
template <int N> OP void products_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// d[64, N] = a[64, 16]·b[N, 16]^T, plus d if add is set. A warp has 16 rows; its lanes hold what they hold of mma's d.
#define TEN(t) "%" t "0, %" t "1, %" t "2, %" t "3, %" t "4, %" t "5, %" t "6, %" t "7, %" t "8, %" t "9, "
#define FIRST_30 TEN("") TEN("1") TEN("2")
#define FIRST_60 FIRST_30 TEN("3") TEN("4") TEN("5")
#define FIRST_120 FIRST_60 TEN("6") TEN("7") TEN("8") TEN("9") TEN("10") TEN("11")
#define SUMS(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define SUMS_8(j) SUMS(j), SUMS(j + 1), SUMS(j + 2), SUMS(j + 3), SUMS(j + 4), SUMS(j + 5), SUMS(j + 6), SUMS(j + 7)
#define PRODUCT(shape, list, operands, add) \
  "{\n\t.reg .pred add;\n\tsetp.ne.b32 add, " add ", 0;\n\twgmma.mma_async.sync.aligned." shape "k16.f32.bf16.bf16 {" list "}, " operands ";\n\t}"

OP void multiply_panels(float (&d)[8][4], u64 a, u64 b, int add) {
  asm volatile(PRODUCT("m64n64", FIRST_30 "%30, %31", "%32, %33, add, 1, 1, 0, 0", "%34") : SUMS_8(0) : "l"(a), "l"(b), "r"(add));
}
OP void multiply_panels(float (&d)[16][4], u64 a, u64 b, int add) {
  asm volatile(PRODUCT("m64n128", FIRST_60 "%60, %61, %62, %63", "%64, %65, add, 1, 1, 0, 0", "%66")
               : SUMS_8(0), SUMS_8(8)
               : "l"(a), "l"(b), "r"(add));
}
OP void multiply_panels(float (&d)[24][4], u64 a, u64 b, int add) {
  asm volatile(PRODUCT("m64n192", FIRST_60 TEN("6") TEN("7") TEN("8") "%90, %91, %92, %93, %94, %95", "%96, %97, add, 1, 1, 0, 0", "%98")
               : SUMS_8(0), SUMS_8(8), SUMS_8(16)
               : "l"(a), "l"(b), "r"(add));
}
OP void multiply_panels(float (&d)[32][4], u64 a, u64 b, int add) {
  asm volatile(PRODUCT("m64n256", FIRST_120 "%120, %121, %122, %123, %124, %125, %126, %127", "%128, %129, add, 1, 1, 0, 0", "%130")
               : SUMS_8(0), SUMS_8(8), SUMS_8(16), SUMS_8(24)
               : "l"(a), "l"(b), "r"(add));
}
// The same for 32 columns of int8, whose sums are exact.
#define INTS(j) "+r"(d[j][0]), "+r"(d[j][1]), "+r"(d[j][2]), "+r"(d[j][3])
#define INTS_8(j) INTS(j), INTS(j + 1), INTS(j + 2), INTS(j + 3), INTS(j + 4), INTS(j + 5), INTS(j + 6), INTS(j + 7)
#define INT8_PRODUCT(shape, list, operands, add) \
  "{\n\t.reg .pred add;\n\tsetp.ne.b32 add, " add ", 0;\n\twgmma.mma_async.sync.aligned." shape "k32.s32.s8.s8 {" list "}, " operands ", add;\n\t}"

OP void multiply_panels(int (&d)[16][4], u64 a, u64 b, int add) {
  asm volatile(INT8_PRODUCT("m64n128", FIRST_60 "%60, %61, %62, %63", "%64, %65", "%66")
               : INTS_8(0), INTS_8(8)
               : "l"(a), "l"(b), "r"(add));
}
OP void multiply_panels(int (&d)[24][4], u64 a, u64 b, int add) {
  asm volatile(INT8_PRODUCT("m64n192", FIRST_60 TEN("6") TEN("7") TEN("8") "%90, %91, %92, %93, %94, %95", "%96, %97", "%98")
               : INTS_8(0), INTS_8(8), INTS_8(16)
               : "l"(a), "l"(b), "r"(add));
}
OP void multiply_panels(int (&d)[32][4], u64 a, u64 b, int add) {
  asm volatile(INT8_PRODUCT("m64n256", FIRST_120 "%120, %121, %122, %123, %124, %125, %126, %127", "%128, %129", "%130")
               : INTS_8(0), INTS_8(8), INTS_8(16), INTS_8(24)
               : "l"(a), "l"(b), "r"(add));
}
// multiply_columns takes a from registers, in the layout of mma, and b by columns.
OP void multiply_columns(float (&d)[16][4], const u32 (&a)[4], u64 b, int add) {
  asm volatile(PRODUCT("m64n128", FIRST_60 "%60, %61, %62, %63", "{%64, %65, %66, %67}, %68, add, 1, 1, 1", "%69")
               : SUMS_8(0), SUMS_8(8)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}
