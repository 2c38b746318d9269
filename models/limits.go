package models

// These limits bound what the package reads from a hub and from folders on the disk. Real models are far below them.
const (
	// maxListBytes bounds the description of a repository. Real ones have tens of kB.
	maxListBytes = 2 << 20
	// maxListed bounds the number of files of a repository. Real ones have about a hundred.
	maxListed = 10_000
	// maxFiles bounds the number of files of a model. The largest model of the catalogue has about thirty.
	maxFiles = 500
	// maxFileBytes bounds the size of one file. The largest real ones have 10 GB. The sum of maxFiles such sizes fits
	// into an int64.
	maxFileBytes = 200 << 30
	// maxPathBytes bounds a file's path in the model's folder, so that the whole path is not too long for Windows.
	maxPathBytes = 150
	// maxManifestBytes bounds the size of a manifest. Real ones have 10 kB.
	maxManifestBytes = 1 << 20
	// maxVerified bounds the number of entries that Verify visits in a folder of the Hugging Face cache.
	maxVerified = 10_000
	// maxRedirects is the limit of net/http, which does not apply to a client with a CheckRedirect function.
	maxRedirects = 10
	// spareBytes is how much disk space a download leaves free.
	spareBytes = 256 << 20
)
