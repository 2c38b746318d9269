//go:build !windows

package atomicfile

// checkInUse returns nil: these systems replace a file that another program has open.
func checkInUse(string) error { return nil }

// isTemporary returns false: on these systems a second attempt at a rename fails as the first did.
func isTemporary(error) bool { return false }
