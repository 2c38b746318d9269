package cuda

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/kernels"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// recorder is a software device that counts the launches of each kernel, by its name.
type recorder struct {
	*ptxsim.Context
	launched *sync.Map
}

type recordedModule struct {
	cu.Module
	launched *sync.Map
}

type recordedFunction struct {
	cu.Function
	launched *sync.Map
}

func (r recorder) LoadModule(text []byte, o cu.ModuleOptions) (cu.Module, error) {
	m, err := r.Context.LoadModule(text, o)
	return recordedModule{m, r.launched}, err
}

func (m recordedModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	return recordedFunction{f, m.launched}, err
}

func (f recordedFunction) Launch(grid, block cu.Dim3, shared int, s cu.Stream, params []byte) error {
	n, _ := f.launched.Load(f.Name())
	count, _ := n.(int)
	f.launched.Store(f.Name(), count+1)
	return f.Function.Launch(grid, block, shared, s, params)
}

// groupSuffix is what follows the group in the name of a kernel.
var groupSuffix = regexp.MustCompile(`_(\d|any$|loose$|from_).*`)

// everyOperationLaunched fails if the suite, and so the backend, never launches a kernel of some operation: kernels
// that only tests launch are not shipped.
func everyOperationLaunched(t *testing.T, launched *sync.Map) {
	var groups []string
	launched.Range(func(name, _ any) bool {
		groups = append(groups, strings.TrimSuffix(groupSuffix.ReplaceAllString(name.(string), ""), "_wgmma"))
		return true
	})
	for _, o := range kernels.Operations() {
		for _, group := range o.Groups {
			if !slices.Contains(groups, group) {
				t.Errorf("the backend launches no kernel %s of %s: want a method that does, or no such kernel", group, o.Name)
			}
		}
	}
}
