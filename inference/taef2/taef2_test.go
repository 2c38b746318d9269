package taef2

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cpu"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// tolerance is the largest relative RMS error of a stage in float32: another order of summation changes results by 1e-6
// to 1e-5.
const tolerance = 1e-4

// TestGoldenStages compares every recorded stage of the decoder with the reference's.
func TestGoldenStages(t *testing.T) {
	own := filepath.Join("..", "testdata", "golden")
	for _, root := range append([]string{own}, goldentest.Folders()...) {
		dir := filepath.Join(root, "taef2")
		if _, err := os.Stat(dir); err == nil {
			t.Run(filepath.ToSlash(dir), func(t *testing.T) { compareStages(t, dir) })
		}
	}
}

func compareStages(t *testing.T, dir string) {
	weights, err := synthetic.ReadManifest(filepath.Join(dir, "taef2.safetensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(t.Context(), filepath.Join(dir, "stages.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := cpu.New(tensor.F32)
	defer b.Close()
	b.Begin(t.Context())
	d, err := New(b, weights)
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, name := range file.Names() {
		id, ok := strings.CutSuffix(name, ".latents")
		if !ok {
			continue
		}
		cases++
		left := map[string]bool{}
		for _, other := range file.Names() {
			if strings.HasPrefix(other, id+".decoder.") {
				left[other] = true
			}
		}
		compare := func(name string, have []float32, channels int) {
			x, err := file.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			delete(left, name)
			if e := relativeRMS(planes(have, channels), x.Float32s()); !(e <= tolerance) {
				t.Errorf("%s: a relative RMS error of %.3g, want at most %g", name, e, tolerance)
			}
		}
		d.watch = func(layer int, x backend.Matrix) {
			if name := fmt.Sprintf("%s.decoder.layers.%d", id, layer); left[name] {
				host := make([]float32, x.Rows*x.Cols)
				b.Download(host, x)
				compare(name, host, x.Cols)
			}
		}
		latents, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		h, w := latents.Shape[1], latents.Shape[2]
		s := backend.NewScope(b)
		tokens := s.Upload(h*w, TokenChannels, planes(latents.Float32s(), h*w))
		pixels, err := d.Decode(t.Context(), tokens, h*pixelsPerToken, w*pixelsPerToken)
		if err != nil {
			t.Fatal(err)
		}
		compare(id+".decoded", pixels, 3)
		for name := range left {
			t.Errorf("%s was not compared", name)
		}
		s.Free()
	}
	if cases == 0 {
		t.Error("no latents in the stages")
	}
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

// TestWork checks the count against that of the shapes of the weights: a weight is used once for each pixel of its
// resolution.
func TestWork(t *testing.T) {
	weights, err := synthetic.ReadManifest(filepath.Join("..", "testdata", "golden", "taef2", "taef2.safetensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, name := range weights.Names() {
		var layer int
		if n, _ := fmt.Sscanf(name, "decoder.layers.%d.", &layer); n == 0 {
			continue
		}
		x, err := weights.Tensor(name)
		if err != nil || len(x.Shape) != 4 {
			continue
		}
		pixels := 1.0 / 64
		for _, doubling := range []int{5, 10, 15} {
			if layer > doubling {
				pixels *= 4
			}
		}
		sum += float64(tensor.Elements(x.Shape)) * pixels
	}
	if math.Abs(Work()-sum) > 1e-6*sum {
		t.Errorf("%v multiply-adds a pixel, want %v", Work(), sum)
	}
}

// BenchmarkDecode decodes the latents of a picture of 512×512 pixels on the path in use, in both formats of
// activations, and reports the rate of the whole.
func BenchmarkDecode(b *testing.B) {
	weights, err := synthetic.ReadManifest(filepath.Join("..", "testdata", "golden", "taef2", "taef2.safetensors.json"))
	if err != nil {
		b.Fatal(err)
	}
	restore, err := cpu.Use(cpu.Fastest(cpu.Measure()))
	if err != nil {
		b.Fatal(err)
	}
	defer restore()
	const side = 512
	for _, format := range []tensor.DType{tensor.F32, tensor.BF16} {
		b.Run(format.String(), func(b *testing.B) {
			own := cpu.New(format)
			defer own.Close()
			own.Begin(b.Context())
			d, err := New(own, weights)
			if err != nil {
				b.Fatal(err)
			}
			tokens := make([]float32, side/16*(side/16)*TokenChannels)
			for i := range tokens {
				tokens[i] = float32(i%31-15) / 10
			}
			latents := own.Alloc(side/16*(side/16), TokenChannels, tensor.F32)
			own.Upload(latents, tokens)
			for b.Loop() {
				if _, err := d.Decode(b.Context(), latents, side, side); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(2e-9*Work()*side*side*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}
