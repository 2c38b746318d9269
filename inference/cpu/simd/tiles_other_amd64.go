//go:build amd64 && !linux

package simd

// tilesPermitted says no: asking Windows (EnableProcessOptionalXStateFeatures) has not been tried on a machine, and other
// systems have no tiles.
func tilesPermitted() bool { return false }
