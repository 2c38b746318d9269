//go:build amd64 && !linux

package simd

// tilesPermitted says no. Windows would permit tiles (EnableProcessOptionalXStateFeatures), but it writes the
// registers' state onto the stack of the thread that meets an exception, such as a page of a mapped file that cannot be
// read. That stack is a goroutine's, below which Go's runtime reserves 4 KB for this (stackSystem); the state with
// tiles takes 11 KB. Other systems have no tiles.
func tilesPermitted() bool { return false }
