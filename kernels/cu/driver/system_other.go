//go:build !linux && !windows

package driver

// LibraryName stands for a library that there is not.
const LibraryName = "NVIDIA's driver library"

func threadID() uint32 { return 1 }
