package atomicfile

import (
	"os"

	"golang.org/x/sys/windows"
)

// moveIfFree renames a file in one step, and fails if a file named to exists. done is always true on Windows.
func moveIfFree(from, to string) (done bool, err error) {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return true, err
	}
	name, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return true, err
	}
	if err := windows.MoveFileEx(old, name, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return true, &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return true, nil
}
