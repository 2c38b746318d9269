package plain

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// Full reports whether err means that the disk is full. No system call of Windows returns syscall.ENOSPC, but Go code
// may.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

func readOnly(e syscall.Errno) bool { return e == windows.ERROR_WRITE_PROTECT || e == syscall.EROFS }
func tooLong(e syscall.Errno) bool {
	return e == windows.ERROR_FILENAME_EXCED_RANGE || e == windows.ERROR_BUFFER_OVERFLOW || e == syscall.ENAMETOOLONG
}
func badName(e syscall.Errno) bool {
	return e == windows.ERROR_INVALID_NAME || e == windows.ERROR_DIRECTORY
}
func inUse(e syscall.Errno) bool {
	return e == windows.ERROR_SHARING_VIOLATION || e == windows.ERROR_LOCK_VIOLATION
}
