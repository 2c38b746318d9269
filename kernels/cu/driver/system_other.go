//go:build !linux && !windows

package driver

// LibraryName is what errors call the library: NVIDIA has no driver for this system.
const LibraryName = "NVIDIA's driver library"

func threadID() uint32 { return 1 }
