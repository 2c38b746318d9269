package gguf

// Limits for files, which may come from a stranger. They bound the memory and the time of opening a file; a file over a
// limit is refused before the memory is allocated.
const (
	// maxHeaderBytes bounds the metadata and the descriptions of tensors together. Those of Qwen3's text encoders have
	// 6 MB, nearly all of it the vocabulary and the merges.
	maxHeaderBytes = 64 << 20
	// maxTensors is a hundred times the number of tensors of the largest model of this family.
	maxTensors = 100_000
	// maxKeys bounds the keys of the metadata, of which language models have about thirty.
	maxKeys = 10_000
	// maxNameBytes bounds the name of a key or of a tensor, which errors print. ggml allows 64 bytes for a tensor.
	maxNameBytes = 1000
	// maxTextBytes bounds a text of the metadata. Chat templates have up to 20 kB.
	maxTextBytes = 1 << 20
	// maxElements bounds an array of the metadata that is read as a whole. Qwen3's vocabulary has 151,936 tokens.
	maxElements = 4 << 20
	// maxRank is the number of dimensions that ggml allows.
	maxRank = 4
	// maxAlignment bounds the alignment of tensors, which is usually 32.
	maxAlignment = 1 << 20
)
