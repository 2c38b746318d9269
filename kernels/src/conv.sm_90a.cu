// Convolutions on sm_90a: conv.cu without its downsample, for operands that its STRICT kernels take.
//
// The rows of a tile are the pixels of a patch, PATCH wide. One copy for each tap brings the channels of the patch;
// zeros from outside the picture are the padding. With upsample a patch is one of x, and stands for the pixels of the
// result at one of the four corners of x's pixels: all of these need the same pixel of x at the same tap.
//
// grid.h says how a block walks over tiles. The name of a kernel gives the size of its tile as pixels × output
// channels. Two blocks of a _two_blocks kernel share a multiprocessor.
//
// Rate: the limit is wgmma; each pixel is read nine times, eight of them from the L2 cache.
#include "grid.h"

static constexpr int PATCH = 16; EXPORT(patch, PATCH)

// Patches maps the rows of a tile to rows of the result. height and width are those of x.
template <int BM> struct Patches {
  static constexpr int HEIGHT = BM / PATCH;
  int height, width, upsample, patches_x, patches;

  MEMBER void begin() {
    patches_x = (width + PATCH - 1) / PATCH;
    patches = patches_x * ((height + HEIGHT - 1) / HEIGHT);
  }
  MEMBER int tiles() const { return upsample ? 4 * patches : patches; }
  // origin returns the first pixel of x that a tile needs, and its corner.
  MEMBER void origin(int tile, int &y, int &x, int &corner) const {
    corner = tile / patches;
    const int patch = tile % patches;
    y = patch / patches_x * HEIGHT, x = patch % patches_x * PATCH;
  }
  MEMBER int at(int row) const {
    int y, x, corner;
    origin(row / BM, y, x, corner);
    y += row % BM / PATCH, x += row % PATCH;
    if (y >= height || x >= width) return -1;
    return upsample ? (2 * y + corner / 2) * 2 * width + 2 * x + corner % 2 : y * width + x;
  }
};

template <class G>
DEV void conv_body(const TensorMap &pixels, const TensorMap &filters, const Output &out, Patches<G::BM> patches, int channels, int kernel) {
  patches.begin();
  const int slices = (channels + PANEL - 1) / PANEL;
  run<G, float>(
      patches.tiles(), (out.cols + G::BN - 1) / G::BN, kernel * kernel * slices,
      [&](u32 slice, u32 full, int tile_m, int tile_n, int step) {
        const int tap = step / slices, channel = step % slices * PANEL;
        int y, x, corner;
        patches.origin(tile_m, y, x, corner);
        const int down = tap / kernel - kernel / 2, right = tap % kernel - kernel / 2;
        y += patches.upsample ? (corner / 2 + down) >> 1 : down;
        x += patches.upsample ? (corner % 2 + right) >> 1 : right;
        copy_box(slice, pixels, full, channel, x, y);
        copy_box(slice + G::A_BYTES, filters, full, channel, tap, tile_n * G::BN);
      },
      [&](float(&acc)[G::NJ][4], int row, int tile_n) INLINE {
        UNROLL
        for (int j = 0; j < G::NJ; j += 4 * G::GROUPS)
          store<1, G::GROUPS, true>(out, patches, row, tile_n * G::BN + j * 8, [&](int, int jj, int k) INLINE { return acc[j + jj][k]; });
      });
}

#define CONV(name, G) KERNEL THREADS(G::SIZE, G::BLOCKS)                                                             \
  TILE_OF(G, G::BN, STRICT) void name(TENSOR pixels, TENSOR filters, Mat dst, Mat bias, int cols, int add,           \
      int height, int width, int channels, int kernel, int upsample) {                                               \
    conv_body<G>(pixels, filters, Output{dst, bias, {}, 0, cols, add}, {height, width, upsample}, channels, kernel); \
  }

using Wide = Grid<2, 1, 256, 4, 1>;
using Tall = Grid<2, 2, 128, 4, 1>;
using TwoBlocks = Grid<1, 2, 128, 3, 2>;

CONV(conv_wgmma_128x256, Wide)
CONV(conv_wgmma_256x128, Tall)
CONV(conv_wgmma_128x128_two_blocks, TwoBlocks)
