package safetensors

// Limits for files, which may come from a stranger. They bound the memory and the time of opening a file; a file over a
// limit is refused before the memory is allocated.
const (
	// maxHeaderBytes bounds the header of a file, and the sum of the headers of all shards of a set. The largest models
	// of this family have about a thousand tensors and headers of 0.1 to 0.2 MB. The rest is for metadata, in which
	// programs store workflows and training notes. The format itself allows 100 MB.
	maxHeaderBytes = 8 << 20
	// maxTensors is a hundred times the number of tensors of the largest model of this family.
	maxTensors = 100_000
	// maxMetadataKeys bounds the keys of __metadata__. Trainers write a few hundred, ComfyUI a few.
	maxMetadataKeys = 10_000
	// maxNameBytes bounds the name of a tensor, which errors print. Real names have at most a few hundred bytes.
	maxNameBytes = 1000
	// maxRank bounds the number of dimensions, as torch does.
	maxRank = 64
	// maxIndexBytes bounds the index of a set. The index of the largest model of this family has about 50 kB.
	maxIndexBytes = 8 << 20
	// maxShards bounds the shards of a set. The largest open models have about 200, and Linux allows 65,530 mappings
	// per process.
	maxShards = 1000
	// maxCopiedBytes bounds a tensor that is copied to memory because it is not aligned. The largest tensor of this
	// family, the embedding of the 9B models in float32, has 2.5 GB.
	maxCopiedBytes = 4 << 30
)
