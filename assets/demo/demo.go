// Package demo carries the demo model: a FLUX.2 [klein] of toy size in the real layout, trained to make simple
// drawings. It holds bytes only; they are read by inference/checkpoint.
package demo

import "embed"

// Prompt shows what the model can do: Picture is the PNG that it makes of it at its native size from seed 1.
const Prompt = "a red house under a yellow sun"

//go:embed house.png
var Picture []byte

// Configs is the model's folder without its weights.
//
//go:embed model_index.json scheduler tokenizer text_encoder/config.json transformer/config.json vae/config.json
var Configs embed.FS

// Weights are the safetensors files by their names in the folder. An embedded slice, other than a file of an embed.FS,
// is read where the program lies in memory.
var Weights = map[string][]byte{
	"text_encoder/model.safetensors":                  textEncoder,
	"transformer/diffusion_pytorch_model.safetensors": transformer,
	"vae/diffusion_pytorch_model.safetensors":         vae,
}

//go:embed text_encoder/model.safetensors
var textEncoder []byte

//go:embed transformer/diffusion_pytorch_model.safetensors
var transformer []byte

//go:embed vae/diffusion_pytorch_model.safetensors
var vae []byte

// Dusk is an adapter in bf16, of rank 4 on every linear layer of the transformer's blocks: it gives everything the
// colours of dusk.
//
//go:embed dusk.safetensors
var Dusk []byte
