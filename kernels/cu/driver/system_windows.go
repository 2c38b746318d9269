package driver

import "golang.org/x/sys/windows"

// LibraryName is what the driver installs into System32.
const LibraryName = "nvcuda.dll"

// threadID tells OS threads apart; it is never 0.
func threadID() uint32 { return windows.GetCurrentThreadId() }
