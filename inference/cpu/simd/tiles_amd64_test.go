package simd

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestTileModel compares the bits of the model with those of the instructions, for numbers of all magnitudes,
// denormals, infinities and NaN.
func TestTileModel(t *testing.T) {
	restore, err := Use(AMX)
	if err != nil {
		t.Skip(err)
	}
	defer restore()
	k, _ := BF16()
	r := rand.New(rand.NewPCG(9, 10))
	kinds := map[string]func() uint16{
		"like a model's": func() uint16 { return uint16(0x3c00+r.UintN(0x400)) | uint16(r.UintN(2))<<15 },
		"of all sizes":   func() uint16 { return uint16(0x2000+r.UintN(0x4000)) | uint16(r.UintN(2))<<15 },
		"around denormals": func() uint16 {
			if r.UintN(4) == 0 {
				return uint16(r.UintN(0x100)) | uint16(r.UintN(2))<<15
			}
			return uint16(0x1f00+r.UintN(0x200)) | uint16(r.UintN(2))<<15 // squares around 2^-126
		},
		"any bits": func() uint16 { return uint16(r.Uint32()) },
	}
	for name, kind := range kinds {
		for _, groups := range []int{1, 3} {
			const panels, ldc = 3, 32
			fill := func(n int) []float32 {
				s := make([]float32, n)
				for i := range s {
					s[i] = math.Float32frombits(uint32(kind()) | uint32(kind())<<16)
				}
				return s
			}
			size := groups * TileWords * 32
			a, b, c := fill(panels*size), fill(size), fill(panels*32*ldc)
			for add := 1; add >= 0; add-- {
				want := append([]float32(nil), c...)
				k.MulPanels(groups*TileWords, panels, a, size, b, c, ldc, add > 0, nil)
				tilesGeneric(groups, panels, &a[0], &b[0], &want[0], 4*ldc, 4*size, 4*32*ldc, add, nil)
				for i, v := range c {
					if x, y := math.Float32bits(v), math.Float32bits(want[i]); x != y && !(v != v && want[i] != want[i]) {
						t.Fatalf("numbers %s, %d groups, add %d: value %d is %08x, the model says %08x",
							name, groups, add, i, x, y)
					}
				}
			}
		}
	}
}

// TestTilePacking compares the packing in assembly with that in plain Go.
func TestTilePacking(t *testing.T) {
	if setOf(AMX) == nil {
		t.Skip("no AMX")
	}
	r := rand.New(rand.NewPCG(11, 12))
	const groups, stride = 3, 64*3 + 7
	src := make([]byte, 32*stride+64)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	var offs [32]int
	for i := range offs {
		offs[i] = r.IntN(len(src) - 64*groups)
	}
	got, want := make([]float32, groups*TileWords*32+1), make([]float32, groups*TileWords*32+1)
	compare := func(name string) {
		t.Helper()
		for i, v := range got {
			if x, y := math.Float32bits(v), math.Float32bits(want[i]); x != y {
				t.Fatalf("%s: word %d is %08x, want %08x", name, i, x, y)
			}
		}
	}
	packRowsAMX(&got[0], &src[0], &offs[0], groups)
	packRowsGeneric(&want[0], &src[0], &offs[0], groups)
	compare("rows")
	for half := range 2 {
		at := (*byte)(unsafe.Pointer(&src[16*half*stride]))
		packPairsAMX(&got[16*half], 128, at, stride, groups)
		packPairsGeneric(&want[16*half], 128, at, stride, groups)
	}
	compare("pairs")
	const pitch = 4 * 29
	packPairsAMX(&got[0], pitch, &src[0], stride, groups)
	packPairsGeneric(&want[0], pitch, &src[0], stride, groups)
	compare("pairs with another pitch")
}
