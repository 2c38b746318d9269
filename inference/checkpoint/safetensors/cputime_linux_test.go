package safetensors

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time of f on this thread, on which the load of the machine has little influence.
func cpuTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &before)
	f()
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &after)
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}
