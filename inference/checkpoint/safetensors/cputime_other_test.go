//go:build !linux

package safetensors

import "time"

// cpuTime returns the time of f.
func cpuTime(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
