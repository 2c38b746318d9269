//go:build !linux && !darwin

package openblas

import "errors"

// Load returns an error: it is written for Linux and macOS only.
func Load(int) (*Library, error) { return nil, errors.New("openblas: is not supported on this system") }
