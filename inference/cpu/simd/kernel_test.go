package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// eachLevel runs a test with each level that this processor has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for l := Generic; l <= Highest; l++ {
		t.Run(l.String(), func(t *testing.T) {
			restore, err := Use(l)
			if err != nil {
				t.Skip(err)
			}
			defer restore()
			f(t)
		})
	}
}

func random(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*2 - 1
	}
	return s
}

var depths = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33, 127, 129, 384}

// TestMulFloat32 compares Mul with sums in float64. The error of a float32 sum of k products, in order, is at most
// about k·2^-24 of Σ|a·b|, plus one rounding when the result is added to c.
func TestMulFloat32(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		kernel := Float32()
		for _, k := range depths {
			for _, add := range []bool{false, true} {
				a, b := random(r, k*kernel.MR), random(r, k*kernel.NR)
				ldc := kernel.NR + 3
				c := random(r, kernel.MR*ldc)
				before := append([]float32(nil), c...)
				kernel.Mul(k, a, b, c, ldc, add)
				for i := range kernel.MR {
					for j := range ldc {
						at := i*ldc + j
						if j >= kernel.NR {
							if c[at] != before[at] {
								t.Fatalf("k %d: wrote past the tile at %d, %d", k, i, j)
							}
							continue
						}
						want, size := 0.0, 1.0
						if add {
							want = float64(before[at])
						}
						for s := range k {
							p := float64(a[s*kernel.MR+i]) * float64(b[s*kernel.NR+j])
							want += p
							size += math.Abs(p)
						}
						if d := math.Abs(float64(c[at]) - want); !(d <= float64(k+2)*0x1p-24*size) {
							t.Fatalf("k %d add %v: c[%d,%d] = %v, want %v", k, add, i, j, c[at], want)
						}
					}
				}
			}
		}
	})
}

// TestMulBF16 compares Mul of bfloat16 with sums in float64. The instruction may round the sum of each pair and drops
// denormals, so that the bound is twice that of float32.
func TestMulBF16(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		kernel, ok := BF16()
		if !ok {
			t.Skip("no bfloat16 products at this level")
		}
		r := rand.New(rand.NewPCG(3, 4))
		pair := func() (word float32, lo, hi float64) {
			l, h := tensor.F32ToBF16(r.Float32()*2-1), tensor.F32ToBF16(r.Float32()*2-1)
			return math.Float32frombits(uint32(l) | uint32(h)<<16), float64(tensor.BF16ToF32(l)), float64(tensor.BF16ToF32(h))
		}
		for _, k := range depths {
			at := func(word, row int) int { return word*kernel.MR + row } // the index in a panel of A
			if kernel.Tiles {
				k = (k + TileWords - 1) / TileWords * TileWords
				at = func(word, row int) int { return (word/TileWords*kernel.MR+row)*TileWords + word%TileWords }
			}
			for _, add := range []bool{false, true} {
				a, b := make([]float32, k*kernel.MR), make([]float32, k*kernel.NR)
				values := map[*float32][2]float64{}
				for _, s := range [][]float32{a, b} {
					for i := range s {
						w, lo, hi := pair()
						s[i], values[&s[i]] = w, [2]float64{lo, hi}
					}
				}
				c := random(r, kernel.MR*kernel.NR)
				before := append([]float32(nil), c...)
				kernel.Mul(k, a, b, c, kernel.NR, add)
				for i := range kernel.MR {
					for j := range kernel.NR {
						to := i*kernel.NR + j
						want, size := 0.0, 1.0
						if add {
							want = float64(before[to])
						}
						for s := range k {
							x, y := values[&a[at(s, i)]], values[&b[s*kernel.NR+j]]
							for h := range x {
								want += x[h] * y[h]
								size += math.Abs(x[h] * y[h])
							}
						}
						if d := math.Abs(float64(c[to]) - want); !(d <= float64(4*k+4)*0x1p-24*size) {
							t.Fatalf("k %d add %v: c[%d,%d] = %v, want %v", k, add, i, j, c[to], want)
						}
					}
				}
			}
		}
	})
}

func TestPack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		kernel := Float32()
		r := rand.New(rand.NewPCG(5, 6))
		src := make([]byte, 1<<16)
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		for _, width := range []int{kernel.MR, kernel.NR} {
			for _, words := range []int{0, 4, 8, 12, 64} {
				offs := make([]int, width)
				for i := range offs {
					offs[i] = r.IntN(len(src) - 256) // with any alignment
				}
				dst := make([]float32, 2*words*width+1)
				bits := func(i int) uint32 { return math.Float32bits(dst[i]) }
				kernel.Pack(dst, width, unsafe.Pointer(&src[0]), offs, words)
				for row, off := range offs {
					for w := range words {
						b := src[off+4*w:]
						want := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
						if got := bits(w*width + row); got != want {
							t.Fatalf("width %d words %d: row %d word %d is %08x, want %08x", width, words, row, w, got, want)
						}
					}
				}
				kernel.PackBF16(dst, width, unsafe.Pointer(&src[0]), offs, words)
				for row, off := range offs {
					for w := range 2 * words {
						want := (uint32(src[off+2*w]) | uint32(src[off+2*w+1])<<8) << 16
						if got := bits(w*width + row); got != want {
							t.Fatalf("width %d words %d: row %d bfloat16 %d is %08x, want %08x", width, words, row, w, got, want)
						}
					}
				}
				if bits(2*words*width) != 0 {
					t.Fatalf("width %d words %d: wrote past the panel", width, words)
				}
			}
		}
	})
}

// TestGenerated checks that the committed assembly is what ./gen writes.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the generator's output is checked on amd64 only")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "gen")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", binary, "./gen").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, part := range []string{"amx", "cpuid", "gemm", "pack", "vector"} {
		asm, stubs := part+"_amd64.s", part+"_amd64.go"
		cmd := exec.Command(binary, "-part", part, "-out", filepath.Join(dir, asm), "-stubs", filepath.Join(dir, stubs),
			"-pkg", "simd")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", part, err, out)
		}
		for _, name := range []string{asm, stubs} {
			// The first line is the command, which differs.
			_, want, _ := strings.Cut(read(t, filepath.Join(dir, name)), "\n")
			if _, got, _ := strings.Cut(read(t, name), "\n"); got != want {
				t.Errorf("%s: differs from what ./gen writes; run go generate", name)
			}
		}
	}
}

func read(t *testing.T, name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func BenchmarkPeak(b *testing.B) {
	for name, f := range map[string]func(int) int{"float32": Peak, "bfloat16": PeakBF16} {
		b.Run(name, func(b *testing.B) {
			flops := 0
			for b.Loop() {
				flops += f(100_000)
			}
			b.ReportMetric(float64(flops)/b.Elapsed().Seconds()*1e-9, "GFLOP/s")
		})
	}
}

func BenchmarkMul(b *testing.B) {
	kernel := Float32()
	a, bp, c := make([]float32, kernel.KC*kernel.MR), make([]float32, kernel.KC*kernel.NR),
		make([]float32, kernel.MR*kernel.NR)
	b.Run(fmt.Sprintf("%v/%dx%dx%d", Current(), kernel.MR, kernel.NR, kernel.KC), func(b *testing.B) {
		n := 0
		for b.Loop() {
			kernel.Mul(kernel.KC, a, bp, c, kernel.NR, true)
			n++
		}
		rate := float64(2*n*kernel.KC*kernel.MR*kernel.NR) / b.Elapsed().Seconds() * 1e-9
		b.ReportMetric(rate, "GFLOP/s")
	})
}
