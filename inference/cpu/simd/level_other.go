//go:build !amd64

package simd

// setFor knows no kernels but the plain ones here.
func setFor(Level) *set { return nil }

// Processor needs no name where there is nothing to choose.
func Processor() string { return "" }
