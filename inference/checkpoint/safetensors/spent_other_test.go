//go:build !linux

package safetensors

import "time"

func spent(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
