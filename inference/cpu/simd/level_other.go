//go:build !amd64

package simd

// setFor knows no kernels but the plain ones here.
func setFor(Level) *set { return nil }
