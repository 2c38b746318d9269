package simd

import (
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// TestTileEncodings disassembles the bytes of every tile instruction and compares the text with the comment that the
// generator wrote above them.
func TestTileEncodings(t *testing.T) {
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip(err)
	}
	var want []string
	var code []byte
	comment := regexp.MustCompile(`^\s*// ((?:tile|ldtilecfg|tdp).*)$`)
	open := false
	for line := range strings.Lines(read(t, "amx_amd64.s")) {
		line = strings.TrimRight(line, "\n")
		if m := comment.FindStringSubmatch(line); m != nil {
			want, open = append(want, m[1]), true
		} else if word := strings.Fields(line); open && len(word) == 2 && word[0] == "BYTE" {
			b, err := strconv.ParseUint(word[1][1:], 0, 8)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, byte(b))
		} else {
			open = false
		}
	}
	if len(want) < 20 {
		t.Fatalf("%d tile instructions in the assembly, want more", len(want))
	}
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "tilerelease") {
		t.Skip("this objdump knows no AMX")
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		if at, text, ok := strings.Cut(line, ":\t"); ok && strings.TrimSpace(at) != "" {
			got = append(got, strings.Join(strings.Fields(text), " "))
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the bytes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
