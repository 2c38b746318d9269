package atomicfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// inUse says that another program keeps a file from being replaced: it was opened without leave to delete it. The same
// leave is asked for here, and nothing is done with it.
func inUse(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	const everybody = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	file, err := windows.CreateFile(name, windows.DELETE, everybody, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return &fs.PathError{Op: "replace", Path: path, Err: err}
	case err != nil: // something else may be wrong, which replacing it says
		return nil
	}
	return windows.CloseHandle(file)
}

// inTheWay says that a file may be replaced in a moment: another program has it open. In some cases Windows calls that
// a denied access.
func inTheWay(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}
