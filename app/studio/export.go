package studio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// maxCopies bounds the search for a free name.
const maxCopies = 10_000

// Export copies files into a folder, byte for byte, and replaces none: if fox.png is there, the copy is fox-2.png. It
// goes on after a file that cannot be copied, and returns the number of copies with the errors of the others. After the
// end of ctx it copies no more.
func Export(ctx context.Context, dir string, paths []string) (n int, err error) {
	var errs []error
	for _, path := range paths {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		if err := export(dir, path); err != nil {
			errs = append(errs, err)
		} else {
			n++
		}
	}
	return n, errors.Join(errs...)
}

func export(dir, path string) error {
	from, _, err := atomicfile.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to := filepath.Join(dir, filepath.Base(path))
	file, err := atomicfile.Create(to, 0o644)
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := io.Copy(file, from); err != nil {
		return fmt.Errorf("studio: copy of %s: %w", path, err)
	}
	extension := filepath.Ext(to)
	for i := 1; i <= maxCopies; i++ {
		name := to
		if i > 1 {
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(to, extension), i, extension)
		}
		if err := file.Claim(name); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("studio: copy of %s: %d names in %s are taken", path, maxCopies, dir)
}
