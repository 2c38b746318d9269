package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// prefixed returns entries with prefix before their names, from which it removes the prefix drop first.
func prefixed(entries []safetensors.Entry, drop, prefix string) []safetensors.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Name = prefix + strings.TrimPrefix(entries[i].Name, drop)
	}
	return entries
}

// allInOne returns the tensors of a file that holds a whole checkpoint, as programs save it.
func allInOne(s synthetic.Spec, textPrefix, vaePrefix string) []safetensors.Entry {
	t, v, e := s.SingleFiles()
	return slices.Concat(prefixed(t, "", "model.diffusion_model."), prefixed(v, "", vaePrefix),
		prefixed(e, "", textPrefix))
}

func writeEntries(t *testing.T, path string, entries []safetensors.Entry) string {
	t.Helper()
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(t.Context(), w, nil, entries, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAllInOne(t *testing.T) {
	_, single := tiny(t)
	want := mustOpen(t, spec(single, bf16File, vaeFile, textFile))
	dir := t.TempDir()
	scale := scaleOfValue("text_encoders.qwen3_4b.logit_scale", 4.6)
	for _, row := range []struct {
		name    string
		entries []safetensors.Entry
	}{
		{"ComfyUI", append(allInOne(small(), "text_encoders.qwen3_4b.transformer.", "vae."), scale)},
		{"no transformer. in the encoder's names", allInOne(small(), "text_encoders.qwen3_4b.", "vae.")},
		{"old VAE prefix", allInOne(small(), "text_encoders.qwen3_8b.transformer.", "first_stage_model.")},
		{"another encoder prefix", allInOne(small(), "text_encoder.", "vae.")},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := writeEntries(t, filepath.Join(dir, "flux2-klein-all.safetensors"), row.entries)
			c := mustOpen(t, path)
			compareSources(t, c.Transformer.Source, want.Transformer.Source)
			compareSources(t, c.VAE.Source, want.VAE.Source)
			compareSources(t, c.TextEncoder.Source, want.TextEncoder.Source)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.SizeBytes != info.Size() || c.Name != "flux2-klein-all" {
				t.Errorf("%d bytes, want %d; name %q", c.SizeBytes, info.Size(), c.Name)
			}
		})
	}
	t.Run("two of three", func(t *testing.T) {
		tr, v, _ := small().SingleFiles()
		path := writeEntries(t, filepath.Join(dir, "two.safetensors"),
			slices.Concat(prefixed(tr, "", "model.diffusion_model."), prefixed(v, "", "vae.")))
		c := mustOpen(t, path+","+spec(single, textFile))
		compareSources(t, c.VAE.Source, want.VAE.Source)
		_, err := Open(t.Context(), path)
		wantError(t, "alone", err, path, "no text encoder among")
	})
	whole := allInOne(small(), "text_encoders.qwen3_4b.transformer.", "vae.")
	for _, row := range []struct {
		name, want string
		entries    []safetensors.Entry
	}{
		{"a block is missing", "lacks double block 0", without(whole, "model.diffusion_model.double_blocks.0.")},
		{"a tensor of none", "1 tensors that belong to none of them: other.weight",
			append(slices.Clone(whole), of("other.weight", tensor.BF16, 4))},
		{"an unknown tensor", "1 tensors do not belong to a FLUX.2 [klein] VAE: vae.other.weight",
			append(slices.Clone(whole), of("vae.other.weight", tensor.BF16, 4))},
		{"two encoders", "holds two networks of the kind text encoder",
			append(slices.Clone(whole), of("text_encoders.qwen3_8b.transformer.model.embed_tokens.weight", tensor.BF16, 4, 4))},
	} {
		for i, e := range row.entries {
			if e.Fill == nil {
				row.entries[i].Fill = func(dst []byte, _ int) error { clear(dst); return nil }
			}
		}
		path := writeEntries(t, filepath.Join(dir, "broken.safetensors"), row.entries)
		_, err := Open(t.Context(), path)
		wantError(t, row.name, err, path, row.want)
	}
}

// TestVAEInPlaceOfJoined opens a file of all three networks with a decoder beside it, and another VAE in place of both:
// the transformer and the text encoder must stay readable, and the decoder's file must be closed.
func TestVAEInPlaceOfJoined(t *testing.T) {
	_, single := tiny(t)
	dir := t.TempDir()
	all := writeEntries(t, filepath.Join(dir, "all.safetensors"), allInOne(small(), "text_encoder.", "vae."))
	_, v, _ := small().SingleFiles()
	decoder := writeEntries(t, filepath.Join(dir, "decoder.safetensors"),
		slices.DeleteFunc(v, func(e safetensors.Entry) bool { return !strings.HasPrefix(e.Name, "decoder.") }))
	other := spec(single, vaeFile)
	c, err := OpenWith(t.Context(), all+","+decoder, other)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := mustOpen(t, spec(single, bf16File, vaeFile, textFile))
	compareSources(t, c.Transformer.Source, want.Transformer.Source)
	compareSources(t, c.TextEncoder.Source, want.TextEncoder.Source)
	compareSources(t, c.VAE.Source, want.VAE.Source)
	var paths []string
	for _, f := range c.files() {
		paths = append(paths, f.Path())
	}
	if !slices.Equal(paths, []string{all, other}) {
		t.Errorf("open files %q, want %q and %q", paths, all, other)
	}
}

// TestFP8WithoutScales checks that a file whose weights were only rounded to float8, without any scale, is used
// unscaled, with a notice.
func TestFP8WithoutScales(t *testing.T) {
	_, single := tiny(t)
	tr, _, _ := small().SingleFiles()
	for i, e := range tr {
		if strings.Contains(e.Name, "_blocks.") && strings.HasSuffix(e.Name, ".weight") {
			tr[i].DType = tensor.F8E4M3
			tr[i].Fill = func(dst []byte, _ int) error {
				for j := range dst {
					dst[j] = 0x38 // 1
				}
				return nil
			}
		}
	}
	path := writeEntries(t, filepath.Join(t.TempDir(), "flux-2-klein-4b-e4m3.safetensors"), tr)
	c := mustOpen(t, path+","+spec(single, vaeFile, textFile))
	if x := mustTensor(t, c.Transformer.Source, "transformer_blocks.0.attn.to_out.0.weight"); x.Scale != 1 ||
		x.Float32s()[0] != 1 {
		t.Errorf("scale %v, value %v, want 1 and 1", x.Scale, x.Float32s()[0])
	}
	if len(c.Notices) != 1 || !strings.Contains(c.Notices[0],
		"float8 weights have no scales: their values are used unscaled") {
		t.Errorf("notices %q", c.Notices)
	}
	mark := safetensors.Entry{Name: "scaled_fp8", DType: tensor.F8E4M3, Shape: []int{0}}
	_, err := Open(t.Context(), writeEntries(t, path, append(tr, mark))+","+spec(single, vaeFile, textFile))
	wantError(t, "a mark of scales", err, path, "dtype F8_E4M3 without its weight_scale")
}
