//go:build !amd64

package simd

// setFor returns nil, since only the Generic level exists here.
func setFor(Level) *set { return nil }

// Processor returns "", since there is only one level.
func Processor() string { return "" }

func int8SetFor(Int8Path) *int8Set { return nil }
