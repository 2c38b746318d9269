//go:build !windows

package plain

import (
	"errors"
	"syscall"
)

// Full reports whether err means that the disk or the user's quota is full.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func readOnly(e syscall.Errno) bool { return e == syscall.EROFS }
func tooLong(e syscall.Errno) bool  { return e == syscall.ENAMETOOLONG }
func badName(e syscall.Errno) bool  { return e == syscall.EINVAL || e == syscall.EILSEQ }
func inUse(e syscall.Errno) bool    { return e == syscall.ETXTBSY || e == syscall.EBUSY }
