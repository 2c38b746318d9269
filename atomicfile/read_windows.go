package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// stat refuses names of devices and pipes (CON, COM1, \\.\pipe\x) as they are: on Windows looking at one opens it.
func stat(path string) (fs.FileInfo, error) {
	if strings.HasPrefix(filepath.Clean(path), `\\.\`) || !filepath.IsLocal(filepath.Base(path)) && filepath.Base(path) != ".." {
		return nil, fmt.Errorf("%s: found the name of a device, want a file", path)
	}
	return os.Stat(path)
}

func openAtOnce(path string) (*os.File, error) { return os.Open(path) }
