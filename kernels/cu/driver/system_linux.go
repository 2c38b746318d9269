package driver

import "syscall"

// LibraryName is what the driver installs.
const LibraryName = "libcuda.so.1"

// threadID tells OS threads apart; it is never 0.
func threadID() uint32 { return uint32(syscall.Gettid()) }
