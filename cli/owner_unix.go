//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByOthers says whether a file belongs to another user than this one and root. Such a user can change the file's
// mode and read it; root can read any file.
func ownedByOthers(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}
