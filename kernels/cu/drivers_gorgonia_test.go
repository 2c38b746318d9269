//go:build gorgonia && cgo

package cu_test

import (
	"testing"

	. "github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/gorgonia"
)

func init() { bindings = append(bindings, gorgonia.At) }

// TestLaunchThroughGorgonia: Function.Launch of gorgonia.org/cu launches kernels whose parameters are numbers and
// pointers. It passes a pointer to each of them, which the fake driver counts. A kernel with a structure among its
// parameters is launched without it.
func TestLaunchThroughGorgonia(t *testing.T) {
	at, current = gorgonia.At, gorgonia.Driver
	f := useFake(t, "current")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	one := Dim3{1, 1, 1}
	var a Args
	for _, row := range []struct {
		name   string
		params []byte
		want   int
	}{
		{"fill", a.Reset().Ptr(1).Int32(2).Float32(3).Uint64(4).Bytes(), 1},
		{"nothing", nil, 1},
		{"tiled", make([]byte, 200), 0},
	} {
		before := f.count("by_pointers")
		check(t, loadFunction(t, c, row.name).Launch(one, one, 0, s, row.params))
		if got := f.count("by_pointers") - before; got != row.want {
			t.Errorf("%s: %d launches through the package, want %d", row.name, got, row.want)
		}
	}
}
