package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// stat returns an error for the name of a device or a pipe (CON, COM1, \\.\pipe\x): on Windows os.Stat opens them.
func stat(path string) (fs.FileInfo, error) {
	base := filepath.Base(path)
	if strings.HasPrefix(filepath.Clean(path), `\\.\`) || !filepath.IsLocal(base) && base != ".." {
		return nil, fmt.Errorf("%s: found the name of a device, want a file", path)
	}
	return os.Stat(path)
}

func openNonblocking(path string) (*os.File, error) { return os.Open(path) }
