package models

// What is taken of a hub, and of folders that a download of this program's has begun or another program's has left. Each limit
// is far above what there is in earnest.
const (
	// maxListBytes bounds the description of a repository; real ones have tens of kB.
	maxListBytes = 2 << 20
	// maxListed bounds the files of a repository, which has a hundred.
	maxListed = 10_000
	// maxFiles bounds the files of a model, of which the largest here has some thirty.
	maxFiles = 500
	// maxFileBytes bounds one file; the largest have 10 GB. maxFiles of them add up without overflow.
	maxFileBytes = 200 << 30
	// maxPathBytes bounds a file's path in the model's folder, so that the whole stays below what Windows takes.
	maxPathBytes = 150
	// maxManifestBytes bounds the list of a model's files; real ones have 10 kB.
	maxManifestBytes = 1 << 20
	// maxVerified bounds the entries of a folder in the Hugging Face cache that is verified.
	maxVerified = 10_000
	// maxRedirects is net/http's own limit, which a CheckRedirect replaces.
	maxRedirects = 10
	// spareBytes is what a download leaves free on the disk.
	spareBytes = 256 << 20
)
