//go:build !linux

package mapped

func release([]byte) {}
