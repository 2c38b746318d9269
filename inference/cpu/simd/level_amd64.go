package simd

import "golang.org/x/sys/cpu"

// setFor returns the set of level l, or nil if the processor lacks it.
func setFor(l Level) *set {
	x := &cpu.X86
	if l == AMX && !(x.HasAMXTile && x.HasAMXBF16 && tilesPermitted()) {
		return nil
	}
	has := map[Level]bool{
		AVX2:       x.HasAVX2 && x.HasFMA,
		AVX512:     x.HasAVX2 && x.HasFMA && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL,
		AVX512BF16: x.HasAVX512BF16,
	}
	has[AVX512BF16] = has[AVX512BF16] && has[AVX512]
	has[AMX] = has[AVX512BF16] // every processor with AMX has AVX512-BF16
	if !has[l] {
		return nil
	}
	s := &set{
		level:     l,
		f32:       Kernel{MR: 6, NR: 16, KC: 384, mul: gemm6x16, pack: packAVX2, packBF16: packBF16AVX2},
		peak:      peakAVX2,
		peakFlops: 12 * 8 * 2,
		vector:    vectorAVX2,
	}
	if l >= AVX512 {
		s.f32 = Kernel{MR: 12, NR: 32, KC: 384, mul: gemm12x32, pack: packAVX2, packBF16: packBF16AVX2}
		s.vector = vectorAVX512
		s.peak, s.peakFlops = peakAVX512, 24*16*2
	}
	if l >= AVX512BF16 {
		s.bf16 = Kernel{
			MR: 12, NR: 32, KC: 384, Pairs: true, mul: gemmBF16x12x32, pack: packAVX2, panelPairs: panelPairsAVX512,
			packPairs: packPairsAMX, packBlocks: blocksBF16, packScaled: scaledBF16, packNVFP4: nvfp4BF16,
		}
		s.peakBF16, s.peakBF16Flops = peakBF16, 2*24*16*2
	}
	if l >= AMX {
		s.bf16 = Kernel{
			MR: 32, NR: 32, KC: 256, Pairs: true, Tiles: true, mulTiles: gemmAMX32x32, pack: packAVX2,
			panelPairs: panelPairsAVX512, packRows: packRowsAMX, packPairs: packPairsAMX, prefetch: prefetchLines,
			packBlocks: blocksBF16, packScaled: scaledBF16, packNVFP4: nvfp4BF16,
		}
		s.peakBF16, s.peakBF16Flops = peakAMX, 4*16*16*32*2
	}
	return s
}

// packAVX2 packs panels whose width is a multiple of 8 or 6, four words at a time.
func packAVX2(dst []float32, width int, src *byte, offs []int, words int) {
	if width%8 == 0 {
		for r := 0; r < width; r += 8 {
			pack8(&dst[r], 4*width, src, &offs[r], words/4)
		}
		return
	}
	for r := 0; r < width; r += 6 {
		pack6(&dst[r], 4*width, src, &offs[r], words/4)
	}
}

// packBF16AVX2 is like packAVX2 for pairs of bfloat16, which it converts to float32.
func packBF16AVX2(dst []float32, width int, src *byte, offs []int, words int) {
	if width%8 == 0 {
		for r := 0; r < width; r += 8 {
			pack8BF16(&dst[r], 4*width, src, &offs[r], words/4)
		}
		return
	}
	for r := 0; r < width; r += 6 {
		pack6BF16(&dst[r], 4*width, src, &offs[r], words/4)
	}
}
