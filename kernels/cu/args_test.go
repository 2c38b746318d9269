package cu

import (
	"bytes"
	"testing"
)

func TestArgs(t *testing.T) {
	var m TensorMap
	for i := range m {
		m[i] = 0xee
	}
	zeros := func(n int) []byte { return make([]byte, n) }
	for _, row := range []struct {
		name string
		pack func(a *Args)
		want [][]byte
	}{
		{"nothing", func(a *Args) {}, nil},
		{"pointer", func(a *Args) { a.Ptr(0x0102030405060708) }, [][]byte{{8, 7, 6, 5, 4, 3, 2, 1}}},
		{
			"negative numbers", func(a *Args) { a.Int32(-1).Int64(-2) },
			[][]byte{{255, 255, 255, 255}, zeros(4), {254, 255, 255, 255, 255, 255, 255, 255}},
		},
		{
			"no padding between words", func(a *Args) { a.Uint32(1).Float32(-2).Uint64(3) },
			[][]byte{{1, 0, 0, 0, 0, 0, 0, 0xc0}, {3, 0, 0, 0, 0, 0, 0, 0}},
		},
		{
			"no padding at the end", func(a *Args) { a.Uint64(1).Uint32(2) },
			[][]byte{{1, 0, 0, 0, 0, 0, 0, 0}, {2, 0, 0, 0}},
		},
		{"tensor map first", func(a *Args) { a.TensorMap(&m).Uint32(1) }, [][]byte{m[:], {1, 0, 0, 0}}},
		{
			"tensor map after a pointer", func(a *Args) { a.Ptr(1).TensorMap(&m).Ptr(2) },
			[][]byte{{1, 0, 0, 0, 0, 0, 0, 0}, zeros(56), m[:], {2, 0, 0, 0, 0, 0, 0, 0}},
		},
		{
			"structure", func(a *Args) { a.Uint32(1).Struct(16, []byte{1, 2, 3}).Uint32(4) },
			[][]byte{{1, 0, 0, 0}, zeros(12), {1, 2, 3, 0}, {4, 0, 0, 0}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var a Args
			a.Uint64(^uint64(0)).Uint64(^uint64(0)).Reset() // what is left of earlier parameters never shows
			row.pack(&a)
			if want := bytes.Join(row.want, nil); !bytes.Equal(a.Bytes(), want) {
				t.Errorf("found % x\n want % x", a.Bytes(), want)
			}
		})
	}
}
