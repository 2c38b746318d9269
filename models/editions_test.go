package models

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/convert"
	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// published are the files of the repositories of quantised models that the catalogue names, as their publishers have
// them, and some beside them that no set needs.
var published = map[string][]string{
	"unsloth/FLUX.2-klein-4B-GGUF":                 ggufNames("flux-2-klein-4b", "BF16", "Q2_K", "Q4_K_S", "Q5_K_M"),
	"unsloth/FLUX.2-klein-base-4B-GGUF":            ggufNames("flux-2-klein-base-4b"),
	"unsloth/FLUX.2-klein-9B-GGUF":                 ggufNames("flux-2-klein-9b"),
	"unsloth/FLUX.2-klein-base-9B-GGUF":            ggufNames("flux-2-klein-base-9b"),
	"Qwen/Qwen3-4B-GGUF":                           ggufNames("Qwen3-4B", "Q5_0", "Q5_K_M"),
	"Qwen/Qwen3-8B-GGUF":                           ggufNames("Qwen3-8B"),
	"black-forest-labs/FLUX.2-klein-4b-fp8":        {"flux-2-klein-4b-fp8.safetensors", "README.md"},
	"black-forest-labs/FLUX.2-klein-base-4b-fp8":   {"flux-2-klein-base-4b-fp8.safetensors"},
	"black-forest-labs/FLUX.2-klein-9b-fp8":        {"flux-2-klein-9b-fp8.safetensors"},
	"black-forest-labs/FLUX.2-klein-9b-kv-fp8":     {"flux-2-klein-9b-kv-fp8.safetensors"},
	"black-forest-labs/FLUX.2-klein-base-9b-fp8":   {"flux-2-klein-base-9b-fp8.safetensors"},
	"black-forest-labs/FLUX.2-klein-4b-nvfp4":      {"flux-2-klein-4b-nvfp4.safetensors"},
	"black-forest-labs/FLUX.2-klein-base-4b-nvfp4": {"flux-2-klein-base-4b-nvfp4.safetensors"},
	"black-forest-labs/FLUX.2-klein-9b-nvfp4":      {"flux-2-klein-9b-nvfp4.safetensors"},
	"black-forest-labs/FLUX.2-klein-base-9b-nvfp4": {"flux-2-klein-base-9b-nvfp4.safetensors"},
	comfy: {
		"split_files/text_encoders/qwen_3_4b.safetensors", "split_files/text_encoders/qwen_3_4b_fp4_flux2.safetensors",
		"split_files/vae/flux2-vae.safetensors", "split_files/diffusion_models/flux-2-klein-4b.safetensors",
	},
}

func ggufNames(stem string, more ...string) (names []string) {
	for _, kind := range append(more, "Q4_K_M", "Q6_K", "Q8_0") {
		names = append(names, fmt.Sprintf("%s-%s.gguf", stem, kind))
	}
	return names
}

// TestGetSets has a hub with the publishers' names and tiny files. Every quantised model of the catalogue finds three
// files there. Those of 4B and one of the base models are downloaded: what comes must open, with the transformer's name
// as its name, and be all that came.
func TestGetSets(t *testing.T) {
	tiny := synthetic.TinyDistilled()
	dir := filepath.Join(t.TempDir(), "single")
	if err := synthetic.WriteSingleFiles(t.Context(), dir, tiny); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	writeGGUF(t, dir, tiny.TextEncoder)
	h := newFakeHub(t)
	for repository, names := range published {
		for _, name := range names {
			file := ""
			switch {
			case strings.Contains(repository, "klein-base-4") || strings.Contains(repository, "9B-GGUF") ||
				strings.Contains(repository, "9b-fp8") || strings.Contains(repository, "9b-kv"):
				h.add(repository+"/"+name, 10) // listed only
				continue
			case strings.Contains(name, "vae"):
				file = "flux2-vae.safetensors"
			case strings.HasPrefix(name, "Qwen3"):
				file = "encoder.gguf"
			case strings.Contains(name, "qwen"):
				file = "qwen_3_4b.safetensors"
			case strings.HasSuffix(name, ".gguf"):
				file = "transformer.gguf"
			case strings.Contains(name, "fp8") || strings.Contains(name, "nvfp4"):
				file = "flux-2-klein-4b-fp8.safetensors"
			default:
				h.add(repository+"/"+name, 10)
				continue
			}
			h.files[repository+"/"+name] = read(file)
		}
	}
	opts := h.options(t)
	sets := 0
	for _, m := range Catalogue() {
		if len(m.sources) == 1 { // a whole repository
			continue
		}
		sets++
		if !strings.HasPrefix(m.Name, "flux2-klein-4b-") && m.Name != "flux2-klein-base-9b-nvfp4" {
			client, err := newHub(h.URL, "")
			if err != nil {
				t.Fatal(err)
			}
			if files, err := listAll(t.Context(), client, m, opts.patience, func(string) {}); err != nil || len(files) != 3 {
				t.Errorf("%s: %d files, %v", m.Name, len(files), err)
			}
			continue
		}
		opts.LicenceAccepted = m.Licence.Ask
		got, err := Get(t.Context(), m, opts)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		s, err := checkpoint.Judge(t.Context(), got)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		file := path.Base(m.sources[0].files[0].path)
		if s.Base != strings.Contains(m.Name, "base") || s.Name != strings.TrimSuffix(file, path.Ext(file)) {
			t.Errorf("%s: %+v", m.Name, s)
		}
		entries, _ := os.ReadDir(got)
		if len(entries) != 4 { // three networks and the list of files
			t.Errorf("%s: %d files %v", m.Name, len(entries), entries)
		}
	}
	if want := (len(editions)-1)*len(storages) + 1; sets != want { // one for the model with a reference cache
		t.Errorf("%d sets, want %d", sets, want)
	}
}

// writeGGUF converts the transformer and the text encoder in dir to transformer.gguf and encoder.gguf.
func writeGGUF(t *testing.T, dir string, encoder synthetic.TextEncoderConfig) {
	t.Helper()
	kind, err := convert.ParseKind("Q8_0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(t.Context(), strings.Join([]string{
		filepath.Join(dir, "flux-2-klein-4b.safetensors"), filepath.Join(dir, "qwen_3_4b.safetensors"),
		filepath.Join(dir, "flux2-vae.safetensors"),
	}, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	metadata := []gguf.Pair{
		{Key: "qwen3.attention.layer_norm_rms_epsilon", Value: float32(encoder.RMSNormEps)},
		{Key: "qwen3.rope.freq_base", Value: float32(encoder.RopeTheta)},
	}
	for key, n := range map[string]int{
		"block_count": encoder.NumHiddenLayers, "embedding_length": encoder.HiddenSize,
		"feed_forward_length": encoder.IntermediateSize, "attention.head_count": encoder.NumAttentionHeads,
		"attention.head_count_kv": encoder.NumKeyValueHeads, "attention.key_length": encoder.HeadDim,
	} {
		metadata = append(metadata, gguf.Pair{Key: "qwen3." + key, Value: uint32(n)})
	}
	for _, job := range []struct {
		file string
		convert.Job
	}{
		{"transformer.gguf", convert.Job{Network: convert.Transformer, Kind: kind, Source: c.Transformer.Source}},
		{"encoder.gguf", convert.Job{
			Network: convert.TextEncoder, Kind: kind, Source: c.TextEncoder.Source, Metadata: metadata,
		}},
	} {
		if err := convert.Write(t.Context(), filepath.Join(dir, job.file), job.Job, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGated has a transformer in a repository that wants a token, and other files in open ones. Without the token
// nothing is downloaded, and the error names the page.
func TestGated(t *testing.T) {
	m, err := Find("FLUX2-klein-9b-NVFP4") // in capitals or not
	if err != nil {
		t.Fatal(err)
	}
	h := newFakeHub(t)
	for repository, names := range published {
		for _, name := range names {
			h.add(repository+"/"+name, 100)
		}
	}
	h.gated = "black-forest-labs/FLUX.2-klein-9b-nvfp4"
	opts := h.options(t)
	opts.LicenceAccepted = true
	var access *AccessError
	if _, err := Get(t.Context(), m, opts); !errors.As(err, &access) || access.Repository != h.gated || access.HadToken {
		t.Errorf("without a token: %v", err)
	}
	if n := len(h.fileRequests()); n != 0 {
		t.Errorf("%d files were downloaded", n)
	}
	opts.Token = "hf_secret"
	if _, err := Get(t.Context(), m, opts); err != nil {
		t.Errorf("with a token: %v", err)
	}
}

// TestSets holds what the catalogue says against what must be true of it.
func TestSets(t *testing.T) {
	names := map[string]bool{}
	for _, m := range Catalogue() {
		if names[m.Name] || m.Name != strings.ToLower(m.Name) || !validPath(m.Name) {
			t.Errorf("the name %q", m.Name)
		}
		names[m.Name] = true
		if strings.Contains(m.Name, "9b") != m.Licence.Ask || m.Title == "" || m.Plain == "" || m.About == "" {
			t.Errorf("%+v", m)
		}
		if !(0 < m.Need.Processor && m.Need.Processor < m.SizeBytes) || m.Need.Card <= 0 || m.Quality == "" {
			t.Errorf("%s: needs %+v for %d bytes, %q", m.Name, m.Need, m.SizeBytes, m.Quality)
		}
	}
	for _, name := range []string{
		"flux2-klein-4b", "flux2-klein-4b-fp8", "flux2-klein-4b-q8_0", "flux2-klein-4b-q4_k_m", "flux2-klein-4b-nvfp4",
		"flux2-klein-base-4b-fp8", "flux2-klein-9b-q4_k_m", "flux2-klein-9b-fp8", "flux2-klein-base-9b-nvfp4",
		"flux2-klein-9b-kv", "flux2-klein-9b-kv-fp8",
	} {
		if !names[name] {
			t.Errorf("no model %s", name)
		}
	}
	if first := Catalogue()[0]; first.Name != checkpoint.DefaultName || !first.Measured {
		t.Errorf("the first is %+v", first)
	}
	// docs/models.md lists them all, with the same sizes.
	text, err := os.ReadFile(filepath.Join("..", "docs", "models.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, m := range Catalogue() {
		row := fmt.Sprintf("| %s | %s | %g GB | %.1f GB | %s | %s |", m.Name, m.Title, float64(m.SizeBytes)/1e9,
			float64(m.Need.Processor)/1e9, m.Quality, m.Licence.Name)
		if !slices.Contains(lines, row) {
			t.Errorf("docs/models.md lacks\n%s", row)
		}
	}
}
