//go:build !gorgonia || !cgo

package cuda

import (
	"kleinbild/kernels/cu"
	"kleinbild/kernels/cu/purego"
)

var drivers = []cu.Driver{purego.Driver}
