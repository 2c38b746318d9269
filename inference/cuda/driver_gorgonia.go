//go:build gorgonia && cgo

package cuda

import (
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/gorgonia"
	"github.com/kleinbild/kleinbild/kernels/cu/purego"
)

var drivers = []cu.Driver{gorgonia.Driver, purego.Driver}
