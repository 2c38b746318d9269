package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestDTypeNames(t *testing.T) {
	for d := F64; d <= F8E8M0; d++ {
		got, err := ParseDType(d.String())
		if err != nil || got != d {
			t.Errorf("ParseDType(%q): %v, %v, want %v", d.String(), got, err, d)
		}
		if d.SizeBytes() < 1 || d.SizeBytes() > 8 {
			t.Errorf("%v: %d bytes", d, d.SizeBytes())
		}
	}
	for _, name := range []string{"", "invalid", "f32", "F4"} {
		if d, err := ParseDType(name); err == nil {
			t.Errorf("ParseDType(%q): %v, want an error", name, d)
		}
	}
}

// TestBF16 rounds float32 values around every bfloat16. The expected result is the nearest bfloat16; of two equally
// near ones it is the even one.
func TestBF16(t *testing.T) {
	for b := range 1 << 16 {
		f := BF16ToF32(uint16(b))
		if math.Float32bits(f) != uint32(b)<<16 {
			t.Fatalf("BF16ToF32(%#04x): %v", b, f)
		}
		if f != f {
			if got := F32ToBF16(f); BF16ToF32(got) == BF16ToF32(got) {
				t.Fatalf("F32ToBF16 of NaN %#04x: %#04x, want a NaN", b, got)
			}
			continue
		}
		for _, row := range []struct {
			low  uint32
			want int
		}{{0, b}, {1, b}, {0x7fff, b}, {0x8000, b + b&1}, {0x8001, b + 1}, {0xffff, b + 1}} {
			if b&0x7fff == 0x7f80 && row.low != 0 {
				continue // these bit patterns are NaNs
			}
			x := math.Float32frombits(uint32(b)<<16 | row.low)
			if got := F32ToBF16(x); int(got) != row.want {
				t.Fatalf("F32ToBF16(%v, bits %#08x): %#04x, want %#04x", x, math.Float32bits(x), got, row.want)
			}
		}
	}
}

// TestSmallFormats compares with the definition of the formats: (−1)^s · 2^(e−bias) · (1 + fraction), and for e = 0
// the subnormal (−1)^s · 2^(1−bias) · fraction.
func TestSmallFormats(t *testing.T) {
	value := func(bits, expBits, fracBits, bias int) float64 {
		exp, frac := bits>>fracBits&(1<<expBits-1), bits&(1<<fracBits-1)
		v := math.Ldexp(1+math.Ldexp(float64(frac), -fracBits), exp-bias)
		if exp == 0 {
			v = math.Ldexp(float64(frac), 1-bias-fracBits)
		}
		if bits>>(expBits+fracBits) == 1 {
			v = math.Copysign(v, -1)
		}
		return v
	}
	same := func(have float32, want float64) bool {
		return float64(have) == want && math.Signbit(float64(have)) == math.Signbit(want)
	}
	for b := range 1 << 16 {
		have, want := F16ToF32(uint16(b)), value(b, 5, 10, 15)
		switch exp, frac := b>>10&31, b&1023; {
		case exp == 31 && frac == 0:
			want = math.Inf(1 - b>>15*2)
		case exp == 31:
			if have == have {
				t.Fatalf("F16ToF32(%#04x): %v, want NaN", b, have)
			}
			continue
		}
		if !same(have, want) {
			t.Fatalf("F16ToF32(%#04x): %v, want %v", b, have, want)
		}
	}
	for b := range 1 << 8 {
		have := F8E4M3ToF32(byte(b))
		if b&0x7f == 0x7f {
			if have == have {
				t.Fatalf("F8E4M3ToF32(%#02x): %v, want NaN", b, have)
			}
			continue
		}
		if want := value(b, 4, 3, 7); !same(have, want) {
			t.Fatalf("F8E4M3ToF32(%#02x): %v, want %v", b, have, want)
		}
	}
}

// TestNarrowing rounds values around every positive code of the small formats. The expected result is the nearest code;
// of two equally near ones it is the even one.
func TestNarrowing(t *testing.T) {
	for _, row := range []struct {
		name    string
		largest int // the code of the largest number
		over    int // the code of what is far above it
		value   func(code int) float32
		narrow  func(float32) int
	}{
		{
			"F16", 0x7bff, 0x7c00, func(c int) float32 { return F16ToF32(uint16(c)) },
			func(f float32) int { return int(F32ToF16(f)) },
		},
		{
			"F8_E4M3", 0x7e, 0x7e, func(c int) float32 { return F8E4M3ToF32(byte(c)) },
			func(f float32) int { return int(F32ToF8E4M3(f)) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			sign := 1 << 7
			if row.largest > 0xff {
				sign = 1 << 15
			}
			check := func(x float32, want int) {
				if got := row.narrow(x); got != want {
					t.Fatalf("%v gives %#x, want %#x", x, got, want)
				}
				if got := row.narrow(-x); got != want|sign {
					t.Fatalf("%v gives %#x, want %#x", -x, got, want|sign)
				}
			}
			for code := range row.largest {
				low, high := row.value(code), row.value(code+1)
				middle := (low + high) / 2 // exact
				check(low, code)
				check(math.Nextafter32(middle, 0), code)
				check(middle, code+code&1)
				check(math.Nextafter32(middle, high), code+1)
			}
			check(row.value(row.largest), row.largest)
			check(1e30, row.over)
			check(float32(math.Inf(1)), row.over)
			if v := row.value(row.narrow(float32(math.NaN()))); v == v {
				t.Errorf("NaN gives %v", v)
			}
		})
	}
	if got := F32ToF16(65519.9); got != 0x7bff {
		t.Errorf("65519.9 gives %#x, want the largest half", got)
	}
	if got := F32ToF16(65520); got != 0x7c00 {
		t.Errorf("65520 gives %#x, want infinity", got)
	}
}

// memory is a Source over a map of tensors.
type memory map[string]Tensor

func (m memory) Names() []string { return nil }

func (m memory) Tensor(name string) (Tensor, error) {
	t, ok := m[name]
	if !ok {
		return t, fmt.Errorf("memory: %s: %w", name, ErrMissing)
	}
	return t, nil
}

func bf16Tensor(name string, scale float32, shape ...int) Tensor {
	t := Tensor{Name: name, DType: BF16, Shape: shape, Scale: scale}
	for i := range Elements(shape) {
		t.Data = binary.LittleEndian.AppendUint16(t.Data, F32ToBF16(float32(i)))
	}
	return t
}

// TestQuantiseFP8 quantises rows whose scales are powers of two, so that the codes are known, and rows without a scale.
func TestQuantiseFP8(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, row := range []struct {
		values []float32
		codes  []byte
		scale  float32
	}{
		{[]float32{448, 1, -0.5, 17, 19, 0x1p-10, 0x1.8p-9, 0}, []byte{0x7e, 0x38, 0xb0, 0x58, 0x5a, 0, 2, 0}, 1},
		{[]float32{-896, 2, -1}, []byte{0xfe, 0x38, 0xb0}, 2},
		{[]float32{0, 0}, []byte{0, 0}, 1e-30},
		{[]float32{1, nan}, nil, nan}, {[]float32{inf, 1}, nil, nan}, {[]float32{-inf}, nil, nan},
	} {
		codes := make([]byte, len(row.values))
		scale := QuantiseFP8(codes, row.values)
		if scale != row.scale && !(math.IsNaN(float64(scale)) && math.IsNaN(float64(row.scale))) ||
			row.codes != nil && !bytes.Equal(codes, row.codes) {
			t.Errorf("%v: %#x with the scale %v, want %#x with %v", row.values, codes, scale, row.codes, row.scale)
		}
	}
}

func TestSlice(t *testing.T) {
	w := bf16Tensor("w", 0.5, 4, 3, 2)
	s := w.Slice(1, 3)
	if want := []int{2, 3, 2}; !slices.Equal(s.Shape, want) {
		t.Errorf("shape %v, want %v", s.Shape, want)
	}
	want := []float32{3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5} // values 6 … 17, halved
	if have := s.Float32s(); !slices.Equal(have, want) {
		t.Errorf("values %v, want %v", have, want)
	}
	if !slices.Equal(w.Shape, []int{4, 3, 2}) {
		t.Errorf("Slice changed the tensor's own shape to %v", w.Shape)
	}
}

func TestDim(t *testing.T) {
	src := memory{"w": bf16Tensor("w", 1, 2, 3)}
	if d := Dim(src, "w", 1); d != 3 {
		t.Errorf("Dim of w: %d, want 3", d)
	}
	if d := Dim(src, "w", 2) + Dim(src, "absent", 0); d != 0 {
		t.Errorf("Dim of a missing dimension and a missing tensor: sum %d, want 0", d)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]bool{
		"double_blocks.0.img_mlp.0.weight": true, "größe 漢字": true, "": true,
		"a\nb": false, "a\x1b[31m": false, "a\u202eb": false, "a\xffb": false, "a\u00a0b": false,
	} {
		if Printable(text) != want {
			t.Errorf("%q is printable: %t, want %t", text, !want, want)
		}
	}
}
