//go:build !linux

package checkpoint

import "io/fs"

// identity is nothing where looking at a file tells no more than its size and time.
func identity(fs.FileInfo) string { return "" }
