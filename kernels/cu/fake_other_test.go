//go:build !linux

package cu_test

import "errors"

func openFake(string) (uintptr, error) { return 0, errors.ErrUnsupported }

func findFake(uintptr, string) (uintptr, error) { return 0, errors.ErrUnsupported }

func threadID() int { return 0 }
