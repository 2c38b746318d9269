//go:build !linux && !darwin

package openblas

import "errors"

// Load has been written for Linux and macOS only.
func Load(int) (*Library, error) { return nil, errors.New("openblas: not looked for on this system") }
