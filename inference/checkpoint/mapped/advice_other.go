//go:build !linux

package mapped

func preferHuge([]byte) {}

func release([]byte) {}
