//go:build unix

package synthetic

import "golang.org/x/sys/unix"

// freeBytes returns the space that this user may still use on the file system of dir.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
