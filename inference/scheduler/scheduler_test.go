package scheduler

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
)

// TestNoiseEqualsReference compares with values of torch.randn. The tolerance is 4 units in the last place or 3e-7,
// because torch's vectorised logarithm and sine round differently.
func TestNoiseEqualsReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "noise.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Tensor, Seed string
		Shape        []int
		Stride       int
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(t.Context(), filepath.Join("testdata", "noise.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, row := range rows {
		t.Run(row.Tensor, func(t *testing.T) {
			seed, err := strconv.ParseUint(row.Seed, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			x, err := f.Tensor(row.Tensor)
			if err != nil {
				t.Fatal(err)
			}
			want, n := x.Float32s(), 1
			for _, d := range row.Shape {
				n *= d
			}
			have := Noise(seed, n)
			if len(want) != (n+row.Stride-1)/row.Stride {
				t.Fatalf("%d golden values of %d with stride %d", len(want), n, row.Stride)
			}
			for i, w := range want {
				h := have[i*row.Stride]
				ulp := float64(math.Nextafter32(float32(math.Abs(float64(w))), math.MaxFloat32)) - math.Abs(float64(w))
				if off := math.Abs(float64(h) - float64(w)); !(off <= 4*ulp || off <= 3e-7) {
					t.Fatalf("value %d is %v, want %v: %.1f units in the last place", i*row.Stride, h, w, off/ulp)
				}
			}
		})
	}
}

// TestNoiseKeepsLowBits: torch's generator keeps the low 32 bits of a seed.
func TestNoiseKeepsLowBits(t *testing.T) {
	a, b, c := Noise(7, 64), Noise(7+1<<32, 64), Noise(8, 64)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("value %d of seeds 7 and 2³²+7: %v and %v", i, a[i], b[i])
		}
	}
	if a[0] == c[0] {
		t.Error("seeds 7 and 8 give the same first value")
	}
}

// TestSigmas computes the formula of FlowMatchEulerDiscreteScheduler.set_timesteps, as Flux2KleinPipeline calls it, in
// float64. The reference computes in float32, which is within 1e-6 of that.
func TestSigmas(t *testing.T) {
	for _, row := range []struct{ tokens, steps int }{
		{16, 1}, {16, 4}, {4096, 4}, {4300, 4}, {4301, 4}, {16384, 4}, {4032, 50}, {256, 200},
	} {
		n := float64(row.tokens)
		at200 := 0.00016927*n + 0.45666666
		mu := at200
		if row.tokens <= 4300 {
			at10 := 8.73809524e-05*n + 1.89833333
			mu = at200 + (at200-at10)/190*(float64(row.steps)-200)
		}
		have := Sigmas(row.tokens, row.steps)
		if len(have) != row.steps+1 || have[row.steps] != 0 {
			t.Fatalf("%d tokens, %d steps: %d values that end with %v", row.tokens, row.steps, len(have), have[len(have)-1])
		}
		for i, h := range have[:row.steps] {
			s := 1.0
			if row.steps > 1 {
				s = 1 - float64(i)*(1-1/float64(row.steps))/float64(row.steps-1)
			}
			want := math.Exp(mu) / (math.Exp(mu) + 1/s - 1)
			if !(math.Abs(float64(h)-want) <= 1e-6) || h <= have[i+1] {
				t.Errorf("%d tokens, %d steps: sigma %d is %v, want %v", row.tokens, row.steps, i, h, want)
			}
		}
	}
}

func TestCheckConfig(t *testing.T) {
	const published = `{"_class_name": "FlowMatchEulerDiscreteScheduler",
		"num_train_timesteps": 1000, "use_dynamic_shifting": true, "time_shift_type": "exponential", "shift_terminal": null,
		"invert_sigmas": false, "use_karras_sigmas": false,
		"use_exponential_sigmas": false, "use_beta_sigmas": false, "stochastic_sampling": false, "shift": 3.0}`
	if err := CheckConfig([]byte(published)); err != nil {
		t.Error(err)
	}
	for _, row := range []struct{ name, old, new, want string }{
		{"not JSON", `{`, ``, "config"},
		{"another class", `FlowMatchEuler`, `Euler`, "want FlowMatchEulerDiscreteScheduler"},
		{"timesteps", `1000`, `500`, "num_train_timesteps is 500, want 1000"},
		{"timesteps a string", `1000`, `"1000"`, "num_train_timesteps"},
		{"fixed shift", `"use_dynamic_shifting": true`, `"use_dynamic_shifting": false`, "use_dynamic_shifting is false"},
		{"linear shift", `"exponential"`, `"linear"`, `time_shift_type is "linear"`},
		{"terminal", `null`, `0.1`, "shift_terminal is set"},
		{"inverted", `"invert_sigmas": false`, `"invert_sigmas": true`, "invert_sigmas is true"},
		{"karras", `"use_karras_sigmas": false`, `"use_karras_sigmas": true`, "karras"},
		{"stochastic", `"stochastic_sampling": false`, `"stochastic_sampling": true`, "stochastic_sampling is true"},
	} {
		text := strings.Replace(published, row.old, row.new, 1)
		err := CheckConfig([]byte(text))
		if text == published || err == nil || !strings.Contains(err.Error(), row.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
}
