//go:build !unix

package cli

import "io/fs"

// ownedByOthers always returns false: the owner of a file on Windows is known only from access control lists, and other
// users cannot reach the user's own folders anyway.
func ownedByOthers(fs.FileInfo) bool { return false }
