package checkpoint

import "time"

// What is read of folders that other programs and strangers fill. Each limit is far above what is there in earnest, and is
// what keeps a search short whatever lies on the disk; those of weight files are in safetensors.
const (
	// maxConfigBytes bounds a config; real ones have up to some 20 kB.
	maxConfigBytes = 256 << 10
	// maxConfigDepth, maxConfigValues and maxConfigString bound what is in it: configs are a few dozen numbers and words,
	// and lists of module names. Errors repeat the words.
	maxConfigDepth  = 16
	maxConfigValues = 10_000
	maxConfigString = 1000
	// maxBlocks bounds the number that a block's name holds, as the stages' own limits of layers do.
	maxBlocks = 1 << 10
	// maxDepth bounds how deep folders of models are searched.
	maxDepth = 12
	// maxWalked bounds the entries of folders that are walked in one installation: some 0.3 s.
	maxWalked = 100_000
	// maxListed bounds the entries that are read of one folder whose files are looked at by name.
	maxListed = 100_000
	// maxSearchBytes bounds the headers that one search reads, about a second's work. A model's have 0.2 MB at most. What was looked
	// at once is remembered, so that the next search goes on behind it.
	maxSearchBytes = 32 << 20
	// maxSnapshots bounds the snapshots of a model in the Hugging Face cache that are looked at, the newest first.
	maxSnapshots = 20
	// maxStamped bounds the entries by which a model's folder is known again; real ones have some thirty.
	maxStamped = 2000
	// maxVerdicts bounds what is remembered, some kilobytes each at worst.
	maxVerdicts = 4096
	// settled is how old a file must be for its time of change to tell a later change: FAT counts in 2 s.
	settled = 2 * time.Second
	// maxExtraPathsBytes, maxExtraPaths and maxPathBytes bound ComfyUI's extra_model_paths.yaml; real ones have 1 to 3 kB.
	maxExtraPathsBytes = 64 << 10
	maxExtraPaths      = 1000
	maxPathBytes       = 4096
	// maxRefBytes bounds refs/main of the Hugging Face cache, which holds 40 digits.
	maxRefBytes = 1 << 10
)
