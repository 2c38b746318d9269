//go:build !linux

package mapped

func preferHuge([]byte) {}

// PreferSmall does nothing on this system.
func PreferSmall([]byte) {}

func release([]byte) {}
