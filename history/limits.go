package history

// This file holds the limits of what is read of files that may be damaged or another program's, with their reasons.
const (
	maxStoreBytes = 1 << 30 // about a million pictures; what is larger was not written by this program
	maxTreeDepth  = 32      // bbolt's trees have at least two children a branch: 2³² pages
	// maxID bounds the IDs that are taken from a damaged file: those above belong to entries that wait.
	maxID = waitingID >> 1
	// maxReferences bounds the bucket; those that were used longest ago go first.
	maxReferences = 4096
	// maxUse bounds the times that are believed: the year 9999.
	maxUse = 253_402_300_799

	// A person does not make so many pictures while a file is held, and an entry with the longest prompt takes less.
	maxWaiting      = 10_000
	maxWaitingBytes = 4 << 20

	// maxSide bounds the pictures that Read decodes: what lies at a path now need not be what was written there. The
	// program's own have at most 2048 pixels a side.
	maxSide = 8192
	// maxThumbnailBytes is more than a thumbnail takes that nothing makes smaller: 4 bytes a pixel.
	maxThumbnailBytes = 256 << 10
)
