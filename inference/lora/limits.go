package lora

// Limits for adapter files, which come from strangers. The limits of headers, names and numbers of tensors are in
// package safetensors.
const (
	// maxFileBytes bounds a file. Whole differences of every weight of the 9B model in float32 have 36 GB, LoRAs of a
	// rank of 128 less than 1 GB.
	maxFileBytes = 40 << 30
	// maxModules is ten times the number of layers of the 9B model, with all its projections split.
	maxModules = 4000
	// maxBlocks bounds the number in the name of a block, as the configs of the networks do.
	maxBlocks = 1 << 10
	// maxAlphaPatterns bounds the patterns of alpha_pattern, each of which is tried on every module.
	maxAlphaPatterns = 4096
	// maxPatternBytes bounds such a pattern. Real ones are names of modules.
	maxPatternBytes = 256
	// maxConfigBytes bounds PEFT's config. One with a pattern for every module has 200 kB.
	maxConfigBytes = 1 << 20
	// maxTagBytes bounds the metadata with the training's captions. Large data sets have a megabyte.
	maxTagBytes = 4 << 20
	// maxTriggers and maxTriggerBytes bound the trigger words that are shown.
	maxTriggers     = 20
	maxTriggerBytes = 200
)
