package picture

import (
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// OnExist says what to do if a file with the output's name exists.
type OnExist int

const (
	Refuse  OnExist = iota // return an error that wraps fs.ErrExist
	Replace                // replace the file atomically
	Number                 // take the first free name of fox.png, fox-2.png, fox-3.png, …
)

// newFile holds the permissions of a new picture, before the umask is applied.
const newFile fs.FileMode = 0o666

// maxNumber bounds the search for a free name.
const maxNumber = 100_000

// CheckWritable checks before a computation whether Write will be able to write path: the folder exists and accepts new
// files, the name is valid on this system and has no extension of a format that is not written, and path is not a
// folder. If exists is Replace, the existing file must not be protected or, on Windows, open in another program.
// CheckWritable leaves no file behind. A disk that becomes full later is not detected.
func CheckWritable(path string, exists OnExist) error {
	if err := checkTarget(path, exists); err != nil {
		return err
	}
	probe, err := atomicfile.Create(path, newFile)
	if err != nil {
		return fmt.Errorf("picture: output %s: %w", path, err)
	}
	probe.Discard()
	return nil
}

func checkTarget(path string, exists OnExist) error {
	otherFormats := []string{".bmp", ".gif", ".avif", ".heic", ".jxl"}
	if extension := filepath.Ext(path); slices.Contains(otherFormats, strings.ToLower(extension)) {
		return fmt.Errorf("picture: output %s: extension %s, want %s, the formats that are written",
			path, extension, writtenFormats)
	}
	if path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return fmt.Errorf("picture: output %q: want the name of a file", path)
	}
	if err := atomicfile.CheckName(path); err != nil {
		return fmt.Errorf("picture: output %s: %w", path, err)
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("picture: output %s: folder %s does not exist, want an existing folder", path, folder)
	} else if err != nil {
		return fmt.Errorf("picture: output %s: %w", path, err)
	} else if !info.IsDir() {
		return fmt.Errorf("picture: output %s: %s is a file, want a folder", path, folder)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil { // for example a name that is too long
		return fmt.Errorf("picture: output: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("picture: output %s: found a folder, want the name of a file", path)
	case exists == Refuse:
		return fmt.Errorf("picture: output %s: %w", path, fs.ErrExist)
	case exists == Replace && err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("picture: output %s: found a device or pipe, want a file", path)
	case exists == Replace:
		if err := atomicfile.CheckReplace(path); err != nil {
			return fmt.Errorf("picture: output %s: %w", path, err)
		}
	}
	return nil
}

// Write writes img with its metadata to path: as JPEG, WebP (lossless) or TIFF if the extension is .jpg, .jpeg, .webp,
// .tif or .tiff, and else as PNG. It returns the path that was written, which differs from path only if exists is
// Number. The file is written under a temporary name in the same folder, flushed to the disk and then renamed, so that
// it never appears incomplete. A killed program leaves at most the temporary file, which no later call uses.
func Write(path string, img image.Image, meta Metadata, exists OnExist) (string, error) {
	if err := checkTarget(path, exists); err != nil {
		return "", err
	}
	e := encoderFor(path)
	return writeWhole(path, exists, func(w io.Writer) error { return e.encode(w, img, &meta, e.quality) })
}

// CheckFits checks before a computation whether the format of path can hold meta. reserveBytes are reserved for fields
// whose values are not yet known. Only JPEG has a limit that a prompt can reach.
func CheckFits(path string, meta Metadata, reserveBytes int) error {
	if err := encoderFor(path).check(meta, reserveBytes); err != nil {
		return fmt.Errorf("picture: output %s: %w", path, err)
	}
	return nil
}

// writeWhole creates the file at path with the content that encode writes.
func writeWhole(path string, exists OnExist, encode func(io.Writer) error) (string, error) {
	file, err := atomicfile.Create(path, newFile)
	if err != nil {
		return "", fmt.Errorf("picture: output %s: %w", path, err)
	}
	defer file.Discard()
	err = encode(file)
	if err == nil {
		err = file.Finish()
	}
	if err != nil {
		return "", fmt.Errorf("picture: output %s: %w", path, err)
	}
	if exists == Replace {
		if err := file.Replace(path); err != nil {
			return "", fmt.Errorf("picture: output: %w", err)
		}
		return path, nil
	}
	for n := 1; n <= maxNumber; n++ {
		name := numbered(path, n)
		err := file.Claim(name)
		if err == nil {
			return name, nil
		}
		if exists == Refuse || !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("picture: output: %w", err)
		}
	}
	return "", fmt.Errorf("picture: output %s: the names up to %s are taken", path, numbered(path, maxNumber))
}

// numbered returns path for n = 1, and fox-2.png for fox.png and n = 2.
func numbered(path string, n int) string {
	if n == 1 {
		return path
	}
	extension := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, extension), n, extension)
}
