package lora

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/goldentest"
)

// tinyShapes are the weights of the tiny model of the goldens, [rows, columns].
func tinyShapes(hidden, in, context, channels, double, single int) map[string][2]int {
	mlp := 3 * hidden
	shapes := map[string][2]int{
		"x_embedder": {hidden, in}, "context_embedder": {hidden, context}, "proj_out": {in, hidden},
		"time_guidance_embed.timestep_embedder.linear_1": {hidden, channels},
		"time_guidance_embed.timestep_embedder.linear_2": {hidden, hidden},
		"double_stream_modulation_img.linear":            {6 * hidden, hidden},
		"double_stream_modulation_txt.linear":            {6 * hidden, hidden},
		"single_stream_modulation.linear":                {3 * hidden, hidden},
		"norm_out.linear":                                {2 * hidden, hidden},
	}
	digits := func(i int) string { return string(rune('0' + i)) }
	for i := range double {
		block := "transformer_blocks." + digits(i) + "."
		for _, name := range []string{"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
			"to_add_out"} {
			shapes[block+"attn."+name] = [2]int{hidden, hidden}
		}
		for _, name := range []string{"ff", "ff_context"} {
			shapes[block+name+".linear_in"] = [2]int{2 * mlp, hidden}
			shapes[block+name+".linear_out"] = [2]int{hidden, mlp}
		}
	}
	for i := range single {
		block := "single_transformer_blocks." + digits(i) + ".attn."
		shapes[block+"to_qkv_mlp_proj"] = [2]int{3*hidden + 2*mlp, hidden}
		shapes[block+"to_out"] = [2]int{hidden, hidden + mlp}
	}
	return shapes
}

// baseOf returns the transformer with the given weights.
func baseOf(hidden, double, single int, shapes map[string][2]int) Base {
	return Base{Hidden: hidden, DoubleBlocks: double, SingleBlocks: single,
		Shape: func(weight string) (rows, cols int, ok bool) {
			s, ok := shapes[weight]
			return s[0], s[1], ok
		}}
}

// tiny is the tiny model of the goldens.
func tiny() Base { return baseOf(256, 2, 2, tinyShapes(256, 128, 192, 256, 2, 2)) }

// folders are those with adapters and the outcome of each, testdata first.
func folders() []string {
	return append([]string{filepath.Join("..", "testdata", "golden")}, goldentest.Folders()...)
}

// TestExpected compares the outcome of each file with that of expected.json.
func TestExpected(t *testing.T) {
	files := 0
	for _, folder := range folders() {
		text, err := os.ReadFile(filepath.Join(folder, "lora", "expected.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		var expected map[string]struct {
			Matched, Total   int
			Skipped, Unknown []string
			Outcome          string
		}
		if err := json.Unmarshal(text, &expected); err != nil {
			t.Fatal(err)
		}
		for path, want := range expected {
			t.Run(path, func(t *testing.T) {
				f, err := Open(t.Context(), filepath.Join(folder, filepath.FromSlash(path)))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				files++
				m, err := f.Match(tiny())
				if want.Outcome == "refuse" {
					if err == nil || strings.Contains(err.Error(), "\n") {
						t.Fatalf("%v, want an error of one line", err)
					}
					t.Log(err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if m.Matched != want.Matched || m.Total != want.Total {
					t.Errorf("%v, want %d of %d", m, want.Matched, want.Total)
				}
				compare := func(what string, have []Left, want []string) {
					var names []string
					for _, l := range have {
						names = append(names, l.Module)
						if l.Reason == "" {
							t.Errorf("%s: %s without a reason", what, l.Module)
						}
					}
					if !slices.Equal(names, want) && len(names)+len(want) > 0 {
						t.Errorf("%s: %q, want %q", what, names, want)
					}
				}
				compare("skipped", m.Skipped, want.Skipped)
				compare("unknown", m.Unknown, want.Unknown)
				if i := f.Info(); i.Kinds == "" || i.Trainer == "unknown" || i.Layers != want.Total {
					t.Errorf("described as %+v", i)
				}
			})
		}
	}
	if files == 0 {
		t.Error("no adapter was read")
	}
}
