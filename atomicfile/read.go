package atomicfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns the content of a small file, such as settings, a token or a manifest. It returns an error if path is not
// a regular file (a pipe, a device or a folder), or if the file has more than limit bytes; such a file is not read into
// memory. Errors of the system are those of os.ReadFile.
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
	case int64(len(text)) > limit: // the file has grown, or its file system reports no size (/proc)
		return nil, fmt.Errorf("%s: found more than %d bytes, want at most %d", path, limit, limit)
	}
	return text, nil
}

// Open opens the regular file at path for reading, and returns an error for anything else. Other than os.Open, it does
// not wait if path is a pipe without a writer, and it does not open a device, because some devices react to that. It
// checks the kind of file before opening it, and again after opening it, because the path may have changed.
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, notRegular(path, info.Mode())
	}
	file, err := openNonblocking(path)
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
