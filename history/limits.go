package history

// These limits bound what the package reads from files that may be damaged or written by another program.
const (
	maxStoreBytes = 1 << 30 // about a million entries
	maxTreeDepth  = 32      // a branch page of bbolt has at least two children, so that this is enough for 2³² pages
	// maxID is the highest ID of an entry in the store. Waiting entries have IDs from waitingID on.
	maxID = waitingID >> 1
	// maxReferences is the largest number of reference pictures in the store. The least recently used ones are removed.
	maxReferences = 4096
	// maxUse is the latest time of use that is believed, in Unix seconds: the end of the year 9999.
	maxUse = 253_402_300_799

	// MaxFolderRunes is the length of a folder's name that menus have room for, and maxFolders bounds their number.
	MaxFolderRunes = 60
	maxFolders     = 500

	// maxWaiting is more entries than a person makes while the file cannot be written, and maxWaitingBytes is more than
	// the JSON of one entry with the longest prompt takes.
	maxWaiting      = 10_000
	maxWaitingBytes = 4 << 20

	// maxSide bounds the width and height of a picture that Read decodes, because another file may now be at an entry's
	// path. The pictures that it is for have at most 2048 pixels a side; photos that were edited are read by
	// picture.OpenOriginal.
	maxSide = 8192
	// maxThumbnailBytes bounds the file of a thumbnail, in bytes for each pixel: more than an uncompressed one takes.
	maxThumbnailBytes = 5
)
