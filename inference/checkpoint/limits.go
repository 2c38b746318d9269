package checkpoint

import "time"

// Limits for folders that other programs and strangers fill. They keep a search short, whatever is on the disk, and are
// far above real sizes. The limits for weight files are in package safetensors.
const (
	// maxConfigBytes bounds a config. Real ones have up to 20 kB.
	maxConfigBytes = 256 << 10
	// maxConfigDepth, maxConfigValues and maxConfigString bound the depth of a config, the number of its values and the
	// bytes of a string. Real configs have a few dozen numbers and words, and lists of module names. Errors print the
	// strings.
	maxConfigDepth  = 16
	maxConfigValues = 10_000
	maxConfigString = 1000
	// maxBlocks bounds the number in the name of a block, as the configs of the networks do.
	maxBlocks = 1 << 10
	// maxDepth bounds the depth of the folders that are searched for models.
	maxDepth = 12
	// maxWalked bounds the entries of folders that are visited in one installation, which takes about 0.3 s.
	maxWalked = 100_000
	// maxListed bounds the entries that are read of one folder.
	maxListed = 100_000
	// maxSearchBytes bounds the headers that one search reads, which takes about a second. The headers of a model have
	// at most 0.2 MB, or 6 MB if the text encoder is a GGUF file, which has its vocabulary there. Results are cached, so
	// that the next search continues with the files that this one did not read.
	maxSearchBytes = 32 << 20
	// maxSnapshots bounds the snapshots of a repository in the Hugging Face cache that are tried, the newest first.
	maxSnapshots = 20
	// maxStamped bounds the entries of a model's folder that enter its stamp. Real folders have about thirty.
	maxStamped = 2000
	// maxVerdicts bounds the number of cached verdicts, which have a few kilobytes each at most.
	maxVerdicts = 4096
	// settled is the age from which a file's time of modification shows any later change. FAT stores times in units of
	// 2 s.
	settled = 2 * time.Second
	// maxExtraPathsBytes, maxExtraPaths and maxPathBytes bound ComfyUI's extra_model_paths.yaml, its paths of one kind,
	// and the bytes of a path. Real files have 1 to 3 kB.
	maxExtraPathsBytes = 64 << 10
	maxExtraPaths      = 1000
	maxPathBytes       = 4096
	// maxRefBytes bounds refs/main in the Hugging Face cache, which has 40 digits.
	maxRefBytes = 1 << 10
	// maxMarkerBytes bounds the JSON of a quantised layer, which has about a hundred bytes, maxLayerName the name of the
	// layer and maxFormatName that of the format, which errors print.
	maxMarkerBytes = 64 << 10
	maxLayerName   = 1000
	maxFormatName  = 100
	// maxRotation bounds the columns in a group of a rotated weight. Real files have 64 to 256.
	maxRotation = 4096
)
