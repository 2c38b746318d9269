//go:build unix

package picture

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time that this process has used. On a busy machine it is more reliable than a clock.
func cpuTime() time.Duration {
	var used unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
