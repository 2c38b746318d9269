package cu_test

import (
	"strings"
	"testing"

	. "github.com/kleinbild/kleinbild/kernels/cu"
)

// matrix is a valid description, as a product of bfloat16 matrices uses it.
func matrix() TensorMapTiled {
	return TensorMapTiled{
		Type: TensorMapBFloat16, Address: 0x7000, Dims: []int64{4096, 4608}, Strides: []int64{8192}, Box: []int{64, 128},
		Swizzle: Swizzle128B, L2Promotion: L2Promotion256B,
	}
}

func TestTensorMapEncodeTiled(t *testing.T) { each(t, testTensorMapEncodeTiled) }

func testTensorMapEncodeTiled(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	five := TensorMapTiled{
		Type: TensorMapFloat32, Address: 0x10, Dims: []int64{4, 3, 2, 5, 7},
		Strides: []int64{16, 48, 96, 480}, Box: []int{4, 1, 2, 3, 4}, ElementStrides: []int{1, 2, 1, 1, 8}, Fill: FillNaN,
	}
	for range 20 { // Go gives the driver a differently aligned object each time
		m := must[TensorMap](t)(c.TensorMapEncodeTiled(matrix()))
		if m[0] != 0 || m[1] != 0x70 || m[8] != 0x5c || m[127] != 0x5c {
			t.Fatalf("found % x, want what the driver wrote", m)
		}
	}
	must[TensorMap](t)(c.TensorMapEncodeTiled(five))
	log := f.log()
	for i, want := range map[int]string{
		0: "map type=9 rank=2 dims=4096,4608, strides=8192, box=64/1,128/1, " +
			"interleave=0 swizzle=3 promotion=3 fill=0",
		len(log) - 1: "map type=7 rank=5 dims=4,3,2,5,7, strides=16,48,96,480, box=4/1,1/2,2/1,3/1,4/8, " +
			"interleave=0 swizzle=0 promotion=0 fill=1",
	} {
		if log[i] != want {
			t.Errorf("the driver was asked %q\n want %q", log[i], want)
		}
	}
}

func TestTensorMapCheck(t *testing.T) {
	if err := matrix().Check(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(t *TensorMapTiled)
		want   string
	}{
		{"type", func(t *TensorMapTiled) { t.Type = 5 }, "element type 5 is not known"},
		{"rank 0", func(t *TensorMapTiled) { t.Dims = nil }, "rank 0, want 1 … 5"},
		{"rank 6", func(t *TensorMapTiled) { t.Dims = make([]int64, 6) }, "rank 6, want 1 … 5"},
		{
			"strides", func(t *TensorMapTiled) { t.Strides = nil },
			"0 strides, 2 box sizes and 0 element strides for rank 2, want 1, 2 and none or 2",
		},
		{"box", func(t *TensorMapTiled) { t.Box = t.Box[:1] }, "1 strides, 1 box sizes"},
		{"element strides", func(t *TensorMapTiled) { t.ElementStrides = []int{1} }, "1 element strides"},
		{"no address", func(t *TensorMapTiled) { t.Address = 0 }, "address 0x0, want a multiple of 16"},
		{"address", func(t *TensorMapTiled) { t.Address += 8 }, "address 0x7008, want a multiple of 16"},
		{"extent", func(t *TensorMapTiled) { t.Dims[1] = 0 }, "dimension 1: extent 0, want 1 … 2³²"},
		{
			"stride", func(t *TensorMapTiled) { t.Strides[0] = 8200 },
			"dimension 1: stride 8200 bytes, want a multiple of 16 below 2⁴⁰",
		},
		{"box size", func(t *TensorMapTiled) { t.Box[1] = 257 }, "dimension 1: box size 257, want 1 … 256"},
		{
			"element stride", func(t *TensorMapTiled) { t.ElementStrides = []int{1, 9} },
			"dimension 1: element stride 9, want 1 … 8",
		},
		{"box row", func(t *TensorMapTiled) { t.Box[0] = 60 }, "box row of 120 bytes, want a multiple of 16"},
		{
			"box row and swizzle", func(t *TensorMapTiled) { t.Box[0] = 72 },
			"box row of 144 bytes, want at most the swizzle's 128",
		},
		{
			"box row and narrow swizzle", func(t *TensorMapTiled) { t.Swizzle = Swizzle32B },
			"box row of 128 bytes, want at most the swizzle's 32",
		},
		{"swizzle", func(t *TensorMapTiled) { t.Swizzle = 4 }, "swizzle 4 is not known"},
		{"promotion", func(t *TensorMapTiled) { t.L2Promotion = -1 }, "L2 promotion -1 is not known"},
		{
			"fill of integers", func(t *TensorMapTiled) { t.Type, t.Box[0], t.Fill = TensorMapUint8, 128, FillNaN },
			"fill 1 for element type 0",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := matrix()
			row.change(&m)
			err := m.Check()
			if err == nil || !strings.HasPrefix(err.Error(), "tensor map: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("found %v, want %q", err, row.want)
			}
		})
	}
}
