package picture

import "time"

// This file holds the limits of what is read of pictures, which may be a stranger's, with their reasons. A file is refused
// before the memory or time that a limit bounds is spent.

// The limits of a reference file; the first two bound time and memory, the rest are the model's
// (Flux2ImageProcessor.check_image_input).
const (
	MaxFileBytes = 512 << 20   // the file
	MaxPixels    = 102_000_000 // width × height in its header: cameras of 100 megapixels have 11,648 × 8,736
	MinSide      = 64          // pixels
	MaxRatio     = 8           // longer side to shorter side
	MaxArea      = 1024 * 1024 // pixels; larger pictures are scaled down to it
)

// The limits of decoding.
const (
	// maxDecodeBytes bounds what a decoder holds: its picture, and what it needs beside it. 100 megapixels fit as PNG of
	// 16 bits. Several hundred megabytes for the canvas and the resampler come on top. Large JPEG pictures need less,
	// but for those that package jpegrows does not read, of which progressive scans with full colours fit up to 71
	// megapixels.
	maxDecodeBytes = 1 << 30
	// wholeJPEGPixels bounds the JPEG pictures that package jpeg decodes, which takes 8 to 20 bytes a pixel with the canvas.
	// Larger ones are decoded by package jpegrows in bands of rows, in memory for some hundred rows. It is more than
	// maxSlowPixels: a large picture is scaled before a slow converter is asked.
	wholeJPEGPixels = 8_000_000
	// maxPasses is how often the scans of a progressive JPEG may pass over its blocks, on average. Common encoders' ten
	// scans pass over them 5 times, those of gray pictures 6 times; optimisers make a few more.
	maxPasses = 16
	// maxSequentialPasses is the same for other JPEGs, in which each component has one scan.
	maxSequentialPasses = 4
	// maxRunLengths is how many times a BMP's pixels its run lengths may cover. Writers cover each pixel once, a few
	// round up at the end of a row.
	maxRunLengths = 2
	// maxSlowPixels bounds the pixels whose colours a slow converter is asked for, at a quarter to one microsecond each.
	// A larger picture is scaled before its colours are converted, which the eye does not see.
	maxSlowPixels = 4 << 20
)

// The limits of TIFF.
const (
	// maxDirectoryEntries bounds the work on a directory; real ones have some dozens.
	maxDirectoryEntries = 4096
	// maxTile bounds the side of a tile that is larger than the picture.
	maxTile = 2048
	// minTile is the least tile that the format knows, 16×16 pixels. The number of blocks is then bounded by the
	// picture's pixels; a strip has at least a row.
	minTile = 16 * 16
	// Blocks may share their bytes, as empty tiles of maps do, and all of them are read again for each block: together
	// these many times the file's bytes, and a number for small files.
	maxShared      = 4
	maxSharedBytes = 16 << 20
)

// The limits of HEIC and AVIF.
const (
	// A number of two bytes names a property, and a picture is put together from 256 × 256 tiles at most.
	maxHEIFProperties = 1 << 15
	maxHEIFItems      = 1 << 17
	// maxHEIFShare is how many times its own pixels a picture may take of those in the file: it is decoded or put
	// together, its tiles are decoded, and both again for its alpha.
	maxHEIFShare = 5
	// leastHEIFPixels is for small pictures, whose tiles may be larger than they.
	leastHEIFPixels = 4 << 20
	// maxHEIFDepth is how often a picture may be derived from derived ones. Real ones are put together from tiles,
	// once.
	maxHEIFDepth = 8
	// wasmMemoryBytes is what 100 megapixels with 16 bits a sample take, whatever the file's header says.
	wasmMemoryBytes = 2 << 30
	// wasmTime and wasmTimePerPixel bound the time of a decoder. A picture takes a tenth of a microsecond a pixel, and
	// noise in the best quality half a microsecond.
	wasmTime         = 15 * time.Second
	wasmTimePerPixel = time.Microsecond
)

// The limits of colour profiles.
const (
	// maxProfileBytes: the largest profiles are those of printers, with several MiB of tables.
	maxProfileBytes = 16 << 20
	// maxCurvePoints is what the standard allows the curves of its older tables. Package icc searches a curve that is
	// not monotonic from its beginning for each point.
	maxCurvePoints = 4096
	// maxNames are the bytes of a profile's name in all its languages, with their list.
	maxNames = 64 << 10
)

// The limits of texts in pictures. A compressed text of a kilobyte could hold a megabyte, and a text goes through several
// readers.
const (
	maxKeywordBytes = 79 // the format's own limit
	// maxMetadataBytes is for Kleinbild's own: a prompt of 64 KiB, each byte of which JSON may write as six, and as
	// much again for all else.
	maxMetadataBytes = 512 << 10
	// maxGraphBytes is for ComfyUI's graphs, of which large ones have half a megabyte.
	maxGraphBytes = 2 << 20
	// maxForeignBytes is for other programs' texts: two prompts of 64 KiB, and settings.
	maxForeignBytes = 256 << 10
	// maxTextsBytes is for all of a file's texts, and for what was unpacked in vain.
	maxTextsBytes = 2*maxGraphBytes + 2*maxForeignBytes
	// maxExifChunk is for the chunk EXIF of WebP: two graphs of ComfyUI's in UTF-8, or Kleinbild's text and the lines
	// for other programs.
	maxExifChunk = maxTextsBytes
	// maxTexts is for the number of them: a program writes one or two, and each goes through a reader.
	maxTexts = 32
)

// The limits of what is taken out of texts.
const (
	// Kleinbild writes no longer names (a path, a model's name), and no more references. Who shows a picture's metadata
	// need not count on it.
	maxNameBytes      = 4096
	maxReferenceFiles = 64
	// Large graphs of ComfyUI's have some hundred nodes, and some dozens one after the other.
	maxGraphNodes = 5000
	maxGraphDepth = 100 // links followed one after the other
	// Of another program's values.
	maxForeignSteps  = 1000
	maxForeignPrompt = 64 << 10 // bytes, as for any prompt
	maxNotes         = 40       // of what was not taken over as it stands
	maxNoteRunes     = 100
)
