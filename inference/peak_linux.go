package inference

import (
	"bytes"
	"os"
	"strconv"
)

// peakResident starts a measurement of this process's resident memory, pages of mapped files included. The function
// that it returns gives the peak since then in bytes, or 0 if the kernel does not tell.
func peakResident() (peak func() int64) {
	// Writing 5 to this file sets the recorded peak to the present value.
	if os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil {
		return func() int64 { return 0 }
	}
	return func() int64 {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return 0
		}
		for line := range bytes.Lines(status) {
			if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmHWM:" && string(fields[2]) == "kB" {
				kilobytes, _ := strconv.ParseInt(string(fields[1]), 10, 64)
				return kilobytes << 10
			}
		}
		return 0
	}
}
