package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// maxAside bounds the search for a free name.
const maxAside = 1000

// SetAside renames the damaged file or folder at path, so that a new file can get the name and a person can still
// examine the old one. It returns the new name: path.damaged-UNIXTIME, or path.damaged-UNIXTIME-N if that exists.
func SetAside(path string) (aside string, err error) {
	first := fmt.Sprintf("%s.damaged-%d", path, time.Now().Unix())
	for n := 1; n <= maxAside; n++ {
		aside = first
		if n > 1 {
			aside = fmt.Sprintf("%s-%d", first, n)
		}
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			return aside, os.Rename(path, aside)
		}
	}
	return "", fmt.Errorf("%s: all names up to %s exist", path, aside)
}
