package safetensors

// What this package reads of a file before anybody asked for a weight. A file of a stranger's must not cost more than these
// allow; each limit is refused before the memory that it bounds is taken.
const (
	// maxHeaderBytes bounds a header, and those of all shards of a set together. The headers of the largest models of this
	// family, with some thousand tensors, have 0.1 to 0.2 MB; what remains is for workflows and training notes in metadata.
	// The format itself allows 100 MB.
	maxHeaderBytes = 8 << 20
	// maxTensors is a hundred times what the largest model of this family has.
	maxTensors = 100_000
	// maxMetadataKeys: trainers write some hundred keys, ComfyUI a handful.
	maxMetadataKeys = 10_000
	// maxNameBytes bounds a tensor's name; real ones have up to some hundred bytes. Errors print names.
	maxNameBytes = 1000
	// maxRank is torch's own limit of dimensions.
	maxRank = 64
	// maxIndexBytes bounds the index of a set; the one of the largest model in this family has some 50 kB.
	maxIndexBytes = 8 << 20
	// maxShards bounds the files of a set. The largest open models come in some 200, and Linux maps 65,530 files a process.
	maxShards = 1000
	// maxCopiedBytes bounds a tensor that is copied because it lies off its alignment: the copy is memory, not a mapping.
	// The largest tensor of this family, the embedding of the 9B models in float32, has 2.5 GB.
	maxCopiedBytes = 4 << 30
)
