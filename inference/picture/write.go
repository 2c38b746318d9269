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

	"kleinbild/atomicfile"
)

// OnExist says what to do where the output's name is taken.
type OnExist int

const (
	Refuse  OnExist = iota // an error that wraps fs.ErrExist
	Replace                // the file of that name goes, in one step
	Number                 // fox.png becomes fox-2.png, fox-3.png, …: the first free name
)

// newFile are the permissions of a picture, less the user's umask.
const newFile fs.FileMode = 0o666

// maxNumber bounds the search of Number.
const maxNumber = 100_000

// CheckWritable finds out whether Write will be able to write path, before anything is computed: the folder exists and
// takes new files, the system takes the name, path is no folder, its name does not promise another format, and what
// exists there may be replaced: it is not protected, and on Windows no other program has it open. It leaves nothing
// behind. Only a disk that fills up meanwhile is found later.
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
	otherFormats := []string{".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".jxl"}
	if extension := filepath.Ext(path); slices.Contains(otherFormats, strings.ToLower(extension)) {
		return fmt.Errorf("picture: output %s: extension %s, want .png, .jpg or .webp, the formats that are written", path, extension)
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

// Write writes img with its metadata to path, as JPEG or WebP (lossless) where the extension asks for it and else as PNG,
// and returns the path written, which differs only under Number. The file appears whole or not at all: it is written under
// a temporary name in the same folder, flushed to the disk and then given its name in one step. A program that is killed
// leaves at most that temporary file, which no later call takes for anything.
func Write(path string, img image.Image, meta Metadata, exists OnExist) (string, error) {
	if err := checkTarget(path, exists); err != nil {
		return "", err
	}
	return writeWhole(path, exists, func(w io.Writer) error { return encoderFor(path).encode(w, img, meta, JPEGQuality) })
}

// CheckFits finds out whether the format that path names can hold meta, before anything is computed for it. reserveBytes
// are kept for fields that are not known yet. Only JPEG has a limit that a prompt can reach.
func CheckFits(path string, meta Metadata, reserveBytes int) error {
	if err := encoderFor(path).check(meta, reserveBytes); err != nil {
		return fmt.Errorf("picture: output %s: %w", path, err)
	}
	return nil
}

// writeWhole is Write for what encode writes.
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

// numbered returns fox-2.png for fox.png and 2; the first name is the plain one.
func numbered(path string, n int) string {
	if n == 1 {
		return path
	}
	extension := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, extension), n, extension)
}
