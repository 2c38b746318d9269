//go:build !linux

package inference

// peakResident returns a function that returns 0: only Linux can measure the peak between two moments.
func peakResident() (peak func() int64) { return func() int64 { return 0 } }
