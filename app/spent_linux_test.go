package app

import (
	"syscall"
	"time"
)

// spent is the processor time of the calling thread so far. Unlike a clock it stands still while others have the
// processor.
func spent() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if syscall.Getrusage(thread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
