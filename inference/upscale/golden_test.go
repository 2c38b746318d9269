package upscale

import (
	"encoding/json"
	"fmt"
	"image"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// The tolerances are relative RMS errors. In float32, another order of summation changes results by 1e-7 to 1e-5.
const (
	tolerance = 1e-4
	// In bfloat16 each stored activation and each weight is rounded by up to 2⁻⁹ of its value. The networks are 6 to 34
	// layers deep, and the recordings have no report of the reference's own run in bfloat16.
	toleranceBF16 = 1.0 / 64
)

// golden is upscale.json of a folder of recordings.
type golden struct {
	Inputs []string
	Models map[string]struct {
		Architecture string
		Scale        int
		Files        []string
		Expected     string
	}
}

// folders returns the folders with recordings.
func folders() (found []string) {
	own := filepath.Join("..", "testdata", "golden")
	for _, root := range append([]string{own}, goldentest.Folders()...) {
		dir := filepath.Join(root, "upscale")
		if _, err := os.Stat(filepath.Join(dir, "upscale.json")); err == nil {
			found = append(found, dir)
		}
	}
	return found
}

func readGolden(t *testing.T, dir string) (g golden) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "upscale.json"))
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil || len(g.Models) == 0 || len(g.Inputs) == 0 {
		t.Fatalf("%s: %v, want models and inputs", dir, err)
	}
	return g
}

// TestGolden compares every network, in every file, with the reference's results and inner stages.
func TestGolden(t *testing.T) {
	if len(folders()) == 0 {
		t.Fatal("no recordings, want those of testdata at least")
	}
	for _, dir := range folders() {
		for _, row := range []struct {
			name      string
			tolerance float64
			open      func() (backend.Backend, error)
		}{
			{"float32", tolerance, func() (backend.Backend, error) { return cpu.New(tensor.F32), nil }},
			{"bf16", toleranceBF16, func() (backend.Backend, error) { return cpu.New(tensor.BF16), nil }},
			{"sim", toleranceBF16, func() (backend.Backend, error) {
				return cuda.New(cuda.Options{Open: cuda.OpenSoftware, ChunkBytes: 64 << 10})
			}},
		} {
			t.Run(row.name+" "+filepath.ToSlash(dir), func(t *testing.T) {
				g := readGolden(t, dir)
				for name, m := range g.Models {
					for i, file := range m.Files {
						if row.name == "sim" && i > 0 { // all files of a network have the same values
							continue
						}
						t.Run(file, func(t *testing.T) {
							b, err := row.open()
							if err != nil {
								t.Fatal(err)
							}
							defer b.Close()
							compareGolden(t, b, dir, name, file, g, row.tolerance)
						})
					}
				}
			})
		}
	}
}

func compareGolden(t *testing.T, b backend.Backend, dir, name, file string, g golden, tolerance float64) {
	src, _, err := checkpoint.ReadUpscaler(t.Context(), filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	b.Begin(t.Context())
	n, err := New(b, src)
	if err != nil {
		t.Fatal(err)
	}
	want := g.Models[name]
	architectures := map[string]string{"Compact": "SRVGGNetCompact", "ESRGAN": "RRDBNet", "SPAN": "SPAN"}
	if i := n.Info(); i.Scale != want.Scale || i.Architecture != architectures[want.Architecture] {
		t.Errorf("%+v, want %s with a scale of %d", i, want.Architecture, want.Scale)
	}
	expected, err := safetensors.Open(t.Context(), filepath.Join(dir, want.Expected))
	if err != nil {
		t.Fatal(err)
	}
	defer expected.Close()
	left := map[string]bool{}
	for _, stage := range expected.Names() {
		left[stage] = true
	}
	compare := func(stage string, have []float32, channels int) {
		x, err := expected.Tensor(stage)
		if err != nil {
			t.Fatal(err)
		}
		delete(left, stage)
		if e := relativeRMS(planes(have, channels), x.Float32s()); !(e <= tolerance) {
			t.Errorf("%s: a relative RMS error of %.3g, want at most %g", stage, e, tolerance)
		}
	}
	for _, input := range g.Inputs {
		pixels, height, width := readPixels(t, filepath.Join(dir, input))
		size := fmt.Sprintf("%dx%d", width, height)
		n.watch = func(stage string, x backend.Matrix) {
			if name := size + "." + stage; left[name] {
				host := make([]float32, x.Rows*x.Cols)
				b.Download(host, x)
				compare(name, host, x.Cols)
			}
		}
		last := 0.0
		result, err := n.Enlarge(t.Context(), pixels, height, width, func(share float64) {
			if share < last || share > 1 {
				t.Errorf("progress of %v after %v", share, last)
			}
			last = share
		})
		if err != nil {
			t.Fatal(err)
		}
		if last < 0.999 {
			t.Errorf("the progress ends at %v", last)
		}
		compare(size, result, 3)
		levels, _, _ := readPixels(t, filepath.Join(dir, name+"."+size+".png"))
		worst := 0.0
		for i, v := range result {
			level := math.RoundToEven(float64(min(max(v, 0), 1)) * 255)
			worst = max(worst, math.Abs(level-math.Round(float64(levels[i])*255)))
		}
		if most := max(1, math.Ceil(255*tolerance)); len(levels) != len(result) || !(worst <= most) {
			t.Errorf("%s: levels differ by %v, want at most %v", size, worst, most)
		}
	}
	for stage := range left {
		t.Errorf("%s was not compared", stage)
	}
}

// readPixels returns an opaque picture's values from 0 to 1.
func readPixels(t *testing.T, path string) (pixels []float32, height, width int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	size := img.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			r, g, b, _ := img.At(x, y).RGBA()
			for _, v := range []uint32{r, g, b} {
				pixels = append(pixels, float32(v>>8)/255)
			}
		}
	}
	return pixels, size.Y, size.X
}

// planes turns [pixels, channels] into [channels, pixels].
func planes(x []float32, channels int) []float32 {
	out := make([]float32, len(x))
	pixels := len(x) / channels
	for i, v := range x {
		out[i%channels*pixels+i/channels] = v
	}
	return out
}

// relativeRMS returns NaN if the lengths differ.
func relativeRMS(have, want []float32) float64 {
	if len(have) != len(want) {
		return math.NaN()
	}
	var diff, norm float64
	for i, w := range want {
		d := float64(have[i]) - float64(w)
		diff += d * d
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}
