package picture

import "time"

// This file holds the limits on reading pictures, which may come from strangers, and the reason for each. A file that
// exceeds a limit is refused before the memory or time that the limit bounds is spent.

// The limits of a reference file. The first two bound time and memory. The other three are the model's, from
// Flux2ImageProcessor.check_image_input of Diffusers.
const (
	MaxFileBytes = 512 << 20   // of the file
	MaxPixels    = 102_000_000 // width × height in the header: cameras of 100 megapixels have 11,648 × 8,736
	MinSide      = 64          // pixels of the shorter side
	MaxRatio     = 8           // longer side to shorter side
	MaxArea      = 1024 * 1024 // pixels; larger pictures are scaled down to this area
)

// MaxMaskSide is the longest side of a mask. Scaling a mask to its picture takes memory for each row and column of
// both, so that a mask of 1 × 100,000,000 pixels would take gigabytes. The longest picture that is edited has 28,566
// pixels; no JPEG is longer than this.
const MaxMaskSide = 65_535

// The limits of decoding.
const (
	// maxDecodeBytes bounds the memory of a decoder: its picture and its working memory. It admits a PNG of 100 megapixels
	// with 16 bits a sample. The canvas and the resampler take several hundred megabytes more. Large JPEG pictures need
	// less, because package jpegrows decodes them in bands. Of the JPEG pictures that package jpegrows does not read,
	// progressive ones without chroma subsampling fit up to 71 megapixels.
	maxDecodeBytes = 1 << 30
	// wholeJPEGPixels is the largest JPEG that package image/jpeg decodes as a whole, in 8 to 20 bytes a pixel including
	// the canvas. Package jpegrows decodes larger ones in bands of rows, in memory for a few hundred rows. The limit has
	// to be more than maxSlowPixels, because a JPEG decoded in bands is always scaled before a slow converter sees its
	// pixels.
	wholeJPEGPixels = 8_000_000
	// maxPasses is how often the scans of a progressive JPEG may visit its blocks, on average. The ten scans of common
	// encoders visit them 5 times, or 6 times in gray pictures; optimisers make a few scans more.
	maxPasses = 16
	// maxSequentialPasses is the same limit for sequential JPEGs, in which each component has one scan.
	maxSequentialPasses = 4
	// maxRunLengths times the pixels of a BMP is what its run lengths may cover. Writers cover each pixel once; a few of
	// them round up at the end of a row.
	maxRunLengths = 2
	// maxSlowPixels bounds the pixels that a slow colour converter gets; it takes 0.25 to 1 µs for each. A larger picture
	// is scaled down before its colours are converted. The difference is not visible.
	maxSlowPixels = 4 << 20
)

// originalWeight is how many times a picture counts that is read at full resolution, beside a reference's once: its
// decoded picture stays, and turning it upright takes a second one of 16 bits a sample. So two pictures of 50
// megapixels are read at the same time, or one of the largest. Its reader holds the pixels afterwards, 1 to 8 bytes
// each; Original.Bytes tells how many.
const originalWeight = 2

// The limits of TIFF.
const (
	// maxDirectoryEntries bounds the work on a directory. Real ones have a few dozen entries.
	maxDirectoryEntries = 4096
	// maxTile bounds the sides of tiles in pictures that are smaller than the tile.
	maxTile = 2048
	// minTile is the smallest tile that TIFF allows, 16×16 pixels. It bounds the number of tiles by the picture's pixels.
	// The number of strips is bounded because a strip has at least one row.
	minTile = 16 * 16
	// Blocks may share bytes of the file, as the empty tiles of maps do, and shared bytes are read again for each block.
	// All blocks together may read maxShared times the file's size, or maxSharedBytes if that is more.
	maxShared      = 4
	maxSharedBytes = 16 << 20
)

// The limits of HEIC and AVIF.
const (
	// An item names its properties by numbers of 15 bits.
	maxHEIFProperties = 1 << 15
	// A picture is composed of at most 256 × 256 tiles.
	maxHEIFItems = 1 << 17
	// maxHEIFShare times its own pixels is what a picture may decode in all. Five is the picture itself and its tiles, the
	// same again for its alpha, and a reserve.
	maxHEIFShare = 5
	// leastHEIFPixels is always allowed, for small pictures whose tiles may be larger than the picture.
	leastHEIFPixels = 4 << 20
	// maxHEIFDepth is how many derivations may follow each other. Real pictures are derived once, from tiles.
	maxHEIFDepth = 8
	// wasmMemoryBytes is the memory that 100 megapixels with 16 bits a sample take. It applies to every
	// file, whatever its header declares.
	wasmMemoryBytes = 2 << 30
	// wasmTime and wasmTimePerPixel bound the time of a decoder. A usual picture takes 0.1 µs a pixel, and noise in the
	// best quality 0.5 µs.
	wasmTime         = 15 * time.Second
	wasmTimePerPixel = time.Microsecond
)

// The limits of colour profiles.
const (
	// maxProfileBytes admits the largest profiles, those of printers, which have several MiB of tables.
	maxProfileBytes = 16 << 20
	// maxCurvePoints is the limit of the ICC standard for the curves of its older tables. Package icc searches a curve
	// that is not monotonic from its beginning for each point, so its time grows with the square of the points.
	maxCurvePoints = 4096
	// maxNames bounds the bytes of a profile's name in all its languages, including the list of the languages.
	maxNames = 64 << 10
)

// The limits of texts in pictures. A compressed text of a kilobyte can expand to a megabyte, and each text is given to
// several parsers.
const (
	maxKeywordBytes = 79 // the limit of the PNG specification
	// maxMetadataBytes bounds Kleinbild's own metadata: a prompt of 64 KiB, of which JSON may write each byte as six, and
	// as much again for the other fields.
	maxMetadataBytes = 512 << 10
	// maxGraphBytes bounds ComfyUI's graphs. Large ones have half a megabyte.
	maxGraphBytes = 2 << 20
	// maxForeignBytes bounds the texts of other programs: two prompts of 64 KiB and settings.
	maxForeignBytes = 256 << 10
	// maxTextsBytes bounds all texts of a file together, including those that were decompressed and then refused.
	maxTextsBytes = 2*maxGraphBytes + 2*maxForeignBytes
	// maxExifChunk bounds the chunk EXIF of a WebP file, and the beginning of a TIFF file with its first directory: an
	// Exif block that is written here, and the places of the strips. Two ComfyUI graphs in UTF-8 are smaller.
	maxExifChunk = maxWrittenExif + 1<<20
	// maxCarriedExif bounds the Exif block that goes from a photo to the edited picture. Cameras write up to some hundred
	// kilobytes, of which most are the maker's notes.
	maxCarriedExif = 4 << 20
	// maxWrittenExif bounds the Exif block of a WebP or TIFF file that is written: that of a photo with Kleinbild's text
	// and the text for other programs.
	maxWrittenExif = maxCarriedExif + 4*maxMetadataBytes
	// maxTexts bounds their number: a program writes one or two, and each is given to a parser.
	maxTexts = 32
)

// maxMaskBytes bounds the chunk with the mask of an edit, on writing and on reading. A circle with a soft edge of 50
// pixels in a picture of 24 megapixels takes 0.8 MB. A larger mask is named by its digest only.
const maxMaskBytes = 1 << 20

// The limits of the values that are read from texts.
const (
	// Kleinbild writes no longer names (a path, a model's name) and no more references. Code that shows the metadata of a
	// picture can rely on these limits.
	maxNameBytes      = 4096
	maxReferenceFiles = 64
	// Large ComfyUI graphs have a few hundred nodes, with a few dozen in a chain.
	maxGraphNodes = 5000
	maxGraphDepth = 100 // links followed one after the other
	// Limits of the values of other programs.
	maxForeignSteps  = 1000
	maxForeignPrompt = 64 << 10 // bytes, as for any prompt
	maxNotes         = 40       // lines about values that were changed or ignored
	maxNoteRunes     = 100      // of such a line
)
