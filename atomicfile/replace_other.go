//go:build !windows

package atomicfile

// inUse says that another program keeps a file from being replaced, which only Windows does.
func inUse(string) error { return nil }

// inTheWay says that a file may be replaced in a moment.
func inTheWay(error) bool { return false }
