package atomicfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns the content of the small file at path: settings, tokens, manifests, notes. The file must be a regular one of
// limit bytes at most. A pipe, a device or a folder in its place is an error, and so is a larger file, of which nothing is
// read. Errors of the system are those of os.ReadFile.
func Read(path string, limit int64) ([]byte, error) {
	file, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: found %d bytes, want at most %d", path, info.Size(), limit)
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > limit: // it has grown, or its file system does not know its size
		return nil, fmt.Errorf("%s: found more than %d bytes, want at most that", path, limit)
	}
	return text, nil
}

// Open opens the regular file at path for reading. It does not wait as os.Open does where a pipe that nobody writes to lies
// at path, nor does it open a device, which may act on that: it looks before it opens, and again at what it has opened.
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, notRegular(path, info.Mode())
	}
	file, err := openAtOnce(path)
	if err != nil {
		return nil, nil, err
	}
	info, err = file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path, info.Mode())
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func notRegular(path string, mode fs.FileMode) error {
	kind := "device"
	switch {
	case mode.IsDir():
		kind = "folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "pipe"
	case mode&fs.ModeSocket != 0:
		kind = "socket"
	}
	return fmt.Errorf("%s: found a %s, want a file", path, kind)
}
