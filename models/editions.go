package models

import (
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// edition is one of the published models.
type edition struct {
	size string // 4B or 9B
	base bool
	kv   bool // it has a reference cache
	// about says what it is good for, aboutStored what its quantised files are good for.
	about, aboutStored string
	licence            Licence
	wholeBytes         int64 // of the download in bf16, rounded
	transformerBytes   int64 // of the transformer in bf16
	// measured says that the memory was measured with bf16 weights: 8.5 GB for a picture of 1344×768.
	measured bool
}

// editions are the published models.
var editions = []edition{
	{
		size: "4B", about: "The usual choice: a picture in four steps.",
		aboutStored: "The same, stored less precisely: a shorter download.", licence: apache,
		wholeBytes: 16_000_000_000, transformerBytes: 7_751_105_712, measured: true,
	},
	{
		size: "4B", base: true, about: "More variety in fifty steps: twelve times as slow.",
		aboutStored: "The same, stored less precisely: a shorter download.", licence: apache,
		wholeBytes: 16_000_000_000, transformerBytes: 7_751_105_712, measured: true,
	},
	{
		size: "9B", about: "Finer pictures, slower, for large computers.",
		aboutStored: "Finer pictures, slower, stored less precisely.", licence: nonCommercial,
		wholeBytes: 35_000_000_000, transformerBytes: 18_157_185_168,
	},
	{
		size: "9B", kv: true, about: "Faster with references, which it looks at once: for edits.",
		aboutStored: "Faster with references, stored less precisely.", licence: nonCommercial,
		wholeBytes: 35_000_000_000, transformerBytes: 18_157_185_168,
	},
	{
		size: "9B", base: true, about: "More variety in fifty steps, for large computers.",
		aboutStored: "More variety in fifty steps, stored less precisely.", licence: nonCommercial,
		wholeBytes: 35_000_000_000, transformerBytes: 18_157_185_168,
	},
}

// storage is a way in which publishers store the transformer with fewer bits. The text encoder that goes with it is a
// GGUF file of Qwen's, except for the 4B model's fp8 file, which has the one in bf16.
type storage struct {
	suffix string // of the model's name
	title  string
	format string // the format of most of the transformer's weights
	// encoder is the format of most of the text encoder's weights, encoderFile the kind in the name of its file.
	encoder, encoderFile string
	// bytes are the sizes of the transformer's file in the 4B and the 9B model, encoderBytes those of the text encoder's.
	// The hub tells the exact sizes when a download begins.
	bytes, encoderBytes [2]int64
	official            bool // the file is Black Forest Labs' own, a safetensors file
}

// storages are in the order of quality.
var storages = []storage{
	{
		suffix: "q8_0", title: "Q8_0", format: "Q8_0", encoder: "Q8_0", encoderFile: "Q8_0",
		bytes: [2]int64{4_300_644_928, 9_978_304_800}, encoderBytes: [2]int64{4_280_404_704, 8_709_518_112},
	},
	{
		suffix: "q6_k", title: "Q6_K", format: "Q6_K", encoder: "Q6_K", encoderFile: "Q6_K",
		bytes: [2]int64{3_409_273_408, 7_865_424_160}, encoderBytes: [2]int64{3_306_260_704, 6_725_899_040},
	},
	{
		suffix: "fp8", title: "fp8 transformer", format: "fp8 e4m3", encoder: "Q8_0", encoderFile: "Q8_0", official: true,
		bytes: [2]int64{4_070_624_520, 9_433_061_528}, encoderBytes: [2]int64{8_044_982_048, 8_709_518_112},
	},
	{
		suffix: "q4_k_m", title: "Q4_K_M", format: "Q4_K", encoder: "Q4_K", encoderFile: "Q4_K_M",
		bytes: [2]int64{2_604_311_104, 5_909_829_920}, encoderBytes: [2]int64{2_497_280_256, 5_027_783_488},
	},
	{
		suffix: "nvfp4", title: "nvfp4 transformer", format: "nvfp4", encoder: "Q4_K", encoderFile: "Q4_K_M", official: true,
		bytes: [2]int64{2_460_413_488, 5_760_960_048}, encoderBytes: [2]int64{2_497_280_256, 5_027_783_488},
	},
}

// vaeBytes is the size of the VAE's file.
const vaeBytes = 336_213_556

// id returns the edition's name in the repositories of its publishers: 4B, base-4B, 9B, base-9B or 9b-kv.
func (e edition) id() string {
	switch {
	case e.base:
		return "base-" + e.size
	case e.kv:
		return strings.ToLower(e.size) + "-kv"
	}
	return e.size
}

// storages returns those in which the edition is published. Of the one with a reference cache, nobody's GGUF files are
// known well enough to be offered.
func (e edition) storages() (list []storage) {
	for _, s := range storages {
		if !e.kv || s.suffix == "fp8" {
			list = append(list, s)
		}
	}
	return list
}

func (e edition) name() string { return "flux2-klein-" + strings.ToLower(e.id()) }

func (e edition) plain() string {
	switch {
	case e.base:
		return fmt.Sprintf("FLUX.2 [klein] %s, base", e.size)
	case e.kv:
		return fmt.Sprintf("FLUX.2 [klein] %s-KV", e.size)
	}
	return "FLUX.2 [klein] " + e.size
}

// whole returns the edition in bf16, in the layout of Diffusers. Its repository also has the weights as a single file,
// which the patterns leave out.
func (e edition) whole() Model {
	title := e.size + ", distilled: 4 steps"
	switch {
	case e.base:
		title = e.size + ", base: 50 steps, for variety"
	case e.kv:
		title = e.size + "-KV, distilled: 4 steps, references computed once"
	}
	return Model{
		Name: e.name(), Title: title, Plain: e.plain(), About: e.about, Licence: e.licence, SizeBytes: e.wholeBytes,
		Quality: checkpoint.AsBF16, Need: checkpoint.CountNeed(e.size, e.transformerBytes), Measured: e.measured,
		sources: []source{{repository: "black-forest-labs/FLUX.2-klein-" + e.id(), files: []pattern{
			{path: "model_index.json"}, {path: "scheduler/*.json"},
			{path: "tokenizer/*"},
			{path: "transformer/*.json"}, {path: "transformer/*.safetensors"},
			{path: "text_encoder/*.json"}, {path: "text_encoder/*.safetensors"},
			{path: "vae/*.json"}, {path: "vae/*.safetensors"},
		}}},
	}
}

// comfy is the repository with the text encoder in bf16 and the VAE as single files. The VAE is that of all editions.
const comfy = "Comfy-Org/flux2-klein-4B"

// stored returns the edition with a quantised transformer, and the text encoder and the VAE that it needs: three files
// in one folder.
func (e edition) stored(s storage) Model {
	kind := "distilled"
	if e.base {
		kind = "base"
	}
	size := e.size
	if e.kv {
		size += "-KV"
	}
	lower := strings.ToLower(e.id())
	transformer := source{repository: "unsloth/FLUX.2-klein-" + e.id() + "-GGUF",
		files: []pattern{{path: fmt.Sprintf("flux-2-klein-%s-%s.gguf", lower, s.title)}}}
	if s.official {
		transformer = source{repository: fmt.Sprintf("black-forest-labs/FLUX.2-klein-%s-%s", lower, s.suffix),
			files: []pattern{{path: fmt.Sprintf("flux-2-klein-%s-%s.safetensors", lower, s.suffix)}}}
	}
	i, encoderName := 0, "Qwen3-4B"
	if e.size == "9B" {
		i, encoderName = 1, "Qwen3-8B"
	}
	others := source{
		repository: comfy, files: []pattern{{"split_files/vae/flux2-vae.safetensors", "flux2-vae.safetensors"}},
	}
	sources := []source{transformer, {
		repository: "Qwen/" + encoderName + "-GGUF",
		files:      []pattern{{path: fmt.Sprintf("%s-%s.gguf", encoderName, s.encoderFile)}},
	}, others}
	encoder := s.encoder
	if s.suffix == "fp8" && e.size == "4B" {
		others.files = append(others.files,
			pattern{"split_files/text_encoders/qwen_3_4b.safetensors", "qwen_3_4b.safetensors"})
		sources, encoder = []source{transformer, others}, "BF16"
	}
	const tenth = 100_000_000
	download := s.bytes[i] + s.encoderBytes[i] + vaeBytes
	return Model{
		Name: e.name() + "-" + s.suffix, Title: fmt.Sprintf("%s, %s, %s", size, kind, s.title),
		Plain: e.plain() + ", " + s.title, About: e.aboutStored, Licence: e.licence,
		SizeBytes: (download + tenth/2) / tenth * tenth,
		Quality:   checkpoint.ClosenessOf(checkpoint.Shares{s.format: 1}, checkpoint.Shares{encoder: 1}),
		Need:      checkpoint.CountNeed(e.size, max(s.bytes[i], s.encoderBytes[i]*encoderRead/100)),
		sources:   sources,
	}
}

// encoderRead is how many hundredths of a text encoder's file are read: 27 of 36 layers, without the embedding table,
// of which a prompt needs 512 rows.
const encoderRead = 68
