//go:build unix

package picture

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the time that this process took of all processors so far. On a busy machine it says more than a clock.
func cpuTime() time.Duration {
	var used unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
