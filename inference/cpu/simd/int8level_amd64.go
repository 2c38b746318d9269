package simd

import "golang.org/x/sys/cpu"

// int8SetFor returns the kernel of a path, or nil if the processor lacks it.
func int8SetFor(p Int8Path) *int8Set {
	x := &cpu.X86
	avx512 := setFor(AVX512) != nil
	has := map[Int8Path]bool{
		Int8AVX2:       setFor(AVX2) != nil,
		Int8AVX512:     avx512,
		Int8AVXVNNI:    setFor(AVX2) != nil && x.HasAVXVNNI,
		Int8AVX512VNNI: avx512 && x.HasAVX512VNNI,
	}
	if p == Int8AMX {
		has[p] = avx512 && x.HasAMXTile && x.HasAMXInt8 && tilesPermitted()
	}
	if !has[p] {
		return nil
	}
	ymm := Kernel{MR: 6, NR: 16, KC: 384, pack: packAVX2}
	zmm := Kernel{MR: 12, NR: 32, KC: 384, pack: packAVX2}
	s := &int8Set{path: p}
	switch p {
	case Int8AVX2:
		s.kernel, s.peak, s.peakOps = ymm, peakI16AVX2, 12*16*2
		s.kernel.mul, s.kernel.Pairs = gemmI16x6x16, true
	case Int8AVX512:
		s.kernel, s.peak, s.peakOps = zmm, peakI16AVX512, 24*32*2
		s.kernel.mul, s.kernel.Pairs = gemmI16x12x32, true
	case Int8AVXVNNI:
		s.kernel, s.peak, s.peakOps = ymm, peakI8AVXVNNI, 12*32*2
		s.kernel.mul, s.kernel.Quads, s.kernel.Offset = gemmI8x6x16, true, 128
	case Int8AVX512VNNI:
		s.kernel, s.peak, s.peakOps = zmm, peakI8AVX512VNNI, 24*64*2
		s.kernel.mul, s.kernel.Quads, s.kernel.Offset = gemmI8x12x32, true, 128
		s.kernel.packPairs = packPairsAMX
	case Int8AMX:
		s.kernel = Kernel{
			MR: 32, NR: 32, KC: 256, Quads: true, Tiles: true, mulTiles: gemmAMXInt8x32x32, pack: packAVX2,
			packRows: packRowsAMX, packPairs: packPairsAMX, prefetch: prefetchLines,
		}
		s.peak, s.peakOps = peakAMXInt8, 4*16*16*64*2
	}
	return s
}
