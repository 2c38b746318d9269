//go:build gorgonia && cgo

package cuda

import (
	"kleinbild/kernels/cu"
	"kleinbild/kernels/cu/gorgonia"
	"kleinbild/kernels/cu/purego"
)

var drivers = []cu.Driver{gorgonia.Driver, purego.Driver}
