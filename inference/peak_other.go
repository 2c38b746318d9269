//go:build !linux

package inference

// peakResident measures nothing: only Linux tells a process's peak between two moments.
func peakResident() (peak func() int64) { return func() int64 { return 0 } }
