package atomicfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// checkInUse returns an error if another program has opened the file without FILE_SHARE_DELETE, so that it cannot be
// replaced. It opens the file with the right to delete it, and closes it again.
func checkInUse(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	file, err := windows.CreateFile(name, windows.DELETE, shareAll, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return &fs.PathError{Op: "replace", Path: path, Err: err}
	case err != nil: // Replace reports any other error
		return nil
	}
	return windows.CloseHandle(file)
}

// isTemporary reports whether err, the error of a rename, can be caused by another program that has the file open for a
// moment. Windows reports that as a sharing violation, or in some cases as a denied access.
func isTemporary(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}
