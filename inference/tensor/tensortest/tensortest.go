// Package tensortest makes quantised weights for tests: one of each format, and one of each kind of scales.
package tensortest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// nan is the code of NaN in E4M3.
const nan = 0x7f

// Quantised returns a weight [rows, columns] of each format and of each kind of scales that the checkpoint's reader
// makes. The names say which. Values are random, none is NaN or infinite, and the largest are about 1000.
func Quantised(rng *rand.Rand) []tensor.Tensor {
	m := maker{rng: rng}
	m.blocks()
	m.scaled()
	return m.made
}

type maker struct {
	rng  *rand.Rand
	made []tensor.Tensor
}

// add adds a weight of n rows.
func (m *maker) add(dtype tensor.DType, n int, data []byte, scale float32, quant *tensor.Quant, name string) {
	cols := len(data) / dtype.BlockBytes() * dtype.BlockValues() / n
	m.made = append(m.made, tensor.Tensor{
		Name: dtype.String() + name, DType: dtype, Shape: []int{n, cols}, Data: data, Scale: scale, Quant: quant,
	})
}

// blocks adds GGUF's formats, which have scales in their blocks: two blocks a row, of which the first block of all has
// scales that are no normal numbers.
func (m *maker) blocks() {
	for _, f := range []struct {
		dtype  tensor.DType
		halves []int // where a block has numbers in half precision
	}{
		{tensor.Q4_0, []int{0}}, {tensor.Q4_1, []int{0, 2}}, {tensor.Q5_0, []int{0}}, {tensor.Q5_1, []int{0, 2}},
		{tensor.Q8_0, []int{0}}, {tensor.Q2_K, []int{80, 82}}, {tensor.Q3_K, []int{108}}, {tensor.Q4_K, []int{0, 2}},
		{tensor.Q5_K, []int{0, 2}}, {tensor.Q6_K, []int{208}}, {tensor.IQ4_NL, []int{0}}, {tensor.IQ4_XS, []int{0}},
		{tensor.MXFP4, nil}, {tensor.NVFP4, nil},
	} {
		const rows, blocks = 4, 8
		size := f.dtype.BlockBytes()
		data := m.bytes(blocks * size)
		for i := range blocks {
			for _, at := range f.halves {
				half := uint16(m.rng.Uint32())&0x83ff | uint16(6+m.rng.IntN(6))<<10
				if i == 0 {
					half &= 0x83ff
				}
				binary.LittleEndian.PutUint16(data[i*size+at:], half)
			}
			switch f.dtype {
			case tensor.MXFP4:
				data[i*size] = []byte{0, 1, 2, 124, 125, 126, 127, 128}[i]
			case tensor.NVFP4:
				copy(data[i*size:], []byte{byte(9 * i), byte(i), nan, byte(0x80 + i)})
			}
		}
		scale := float32(1)
		if f.dtype == tensor.Q5_1 || f.dtype == tensor.NVFP4 {
			scale = 0.37
		}
		m.add(f.dtype, rows, data, scale, nil, "")
	}
}

// scaled adds formats whose scales are other tensors.
func (m *maker) scaled() {
	m.add(tensor.F8E4M3, 3, m.codes(3*128, nan), 0.3, nil, "")
	m.add(tensor.F8E5M2, 3, m.codes(3*128, 0x58), 0.3, nil, "")
	m.add(tensor.I8, 4, m.codes(4*128, 0x80), 1, &tensor.Quant{Rows: m.floats(4)}, " by row")
	m.add(tensor.I8, 3, m.codes(3*24, 0x80), 0.3, &tensor.Quant{Columns: m.floats(24)}, " with factors of columns")
	m.add(tensor.I8, 4, m.codes(4*512, 0x80), 1, &tensor.Quant{Rows: m.floats(4), Rotation: 256}, " rotated by 256")
	m.add(tensor.I8, 3, m.codes(3*64, 0x80), 0.3, &tensor.Quant{Rotation: 16}, " rotated by 16")
	f32 := func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) }
	f16 := func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, tensor.F32ToF16(v)) }
	bf16 := func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(b, tensor.F32ToBF16(v)) }
	m.add(tensor.F8E4M3, 5, m.codes(5*40, nan), 1, &tensor.Quant{Blocks: &tensor.BlockScales{
		DType: tensor.F32, Data: m.scales(6, f32), Height: 3, Width: 16, Stride: 3, Rows: 5,
	}}, " by blocks of 3×16")
	// Rows 130 and 131 of 132, and then rows 0 and 1, as an exchange of halves makes them.
	m.add(tensor.F8E4M3, 4, m.codes(4*256, nan), 1, &tensor.Quant{Blocks: &tensor.BlockScales{
		DType: tensor.BF16, Data: m.scales(4, bf16), Height: 128, Width: 128, Stride: 2, First: 130, Rows: 132,
	}}, " by blocks of 128×128, around the end")
	m.add(tensor.F8E5M2, 3, m.codes(3*64, 0x50), 1, &tensor.Quant{Blocks: &tensor.BlockScales{
		DType: tensor.F16, Data: m.scales(6, f16), Height: 1, Width: 32, Stride: 2, Rows: 3,
	}}, " by rows and 32 columns")
	// Rows 126 to 130 of a fused matrix lie in two tiles of scales.
	mx := tensor.BlockScales{
		DType: tensor.F8E8M0, Data: m.bytes(384 * 8), Height: 1, Width: 32, Stride: 8, Swizzled: true, First: 126, Rows: 300,
	}
	for i := range mx.Data {
		mx.Data[i] = mx.Data[i]%8 + 120
	}
	mx.Data[mx.Index(0, 0)] = 0
	m.add(tensor.F8E4M3, 5, m.codes(5*160, 0x60), 1, &tensor.Quant{Blocks: &mx}, " with the scales of mxfp8")
	nv := mx
	nv.DType, nv.Width, nv.Data = tensor.F8E4M3, 16, m.codes(len(mx.Data), 0x60)
	for i := range nv.Data {
		nv.Data[i] &= 0x7f
	}
	quant := &tensor.Quant{Blocks: &nv, Columns: m.floats(96)}
	m.add(tensor.F4E2M1, 5, m.bytes(5*96/2), 0.21, quant, " with the scales of nvfp4")
	m.add(tensor.F4E2M1Low, 8, m.bytes(8*32/2), 0.21, &tensor.Quant{Blocks: &tensor.BlockScales{
		DType: tensor.F8E4M3, Data: nv.Data[:18], Height: 1, Width: 16, Stride: 2, First: 1, Rows: 9,
	}}, " with scales in rows")
}

// bytes returns n random bytes.
func (m *maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
	return b
}

// codes returns n random signs and magnitudes less than limit.
func (m *maker) codes(n int, limit byte) []byte {
	b := m.bytes(n)
	for i := range b {
		b[i] = b[i]&0x80 | b[i]&0x7f%limit
	}
	return b
}

// floats returns n positive numbers around 1.
func (m *maker) floats(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.Exp(m.rng.NormFloat64() / 2))
	}
	return v
}

// scales returns n positive numbers as encode appends them.
func (m *maker) scales(n int, encode func(b []byte, v float32) []byte) (b []byte) {
	for _, v := range m.floats(n) {
		b = encode(b, v)
	}
	return b
}
