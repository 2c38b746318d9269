//go:build !windows

package atomicfile

// moveIfFree has no system call that every file system without links knows.
func moveIfFree(_, _ string) (done bool, err error) { return false, nil }
