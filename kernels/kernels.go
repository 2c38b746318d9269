// Package kernels launches the project's own GPU kernels, shipped as PTX for sm_80 and everything after it. What enters
// is matrices in device memory and a stream, what leaves is queued work; nothing is allocated or waited for here. It
// refuses shapes that do not fit each other, and knows nothing of models, weights' names or which device runs it.
//
// One file holds one family of kernels: gemm.go launches src/gemm.cu, compiled to ptx/gemm.sm_80.ptx by `make kernels`.
package kernels

import (
	"embed"
	"fmt"
	"sync"

	"kleinbild/kernels/cu"
)

//go:embed ptx/*.ptx
var ptx embed.FS

// Family is a file of kernels, compiled and loaded as one module.
type Family int

// The families.
const (
	Elementwise Family = iota
	Norm
	GroupNorm
	GEMM
	Attention
	Conv
	families
)

// Families lists all of them.
func Families() []Family {
	all := make([]Family, families)
	for i := range all {
		all[i] = Family(i)
	}
	return all
}

// String is the name of the family's source file.
func (f Family) String() string {
	return [...]string{"elementwise", "norm", "group_norm", "gemm", "attention", "conv"}[f]
}

// Set is the kernels of one device. It may be used from several goroutines.
type Set struct {
	ctx     cu.Context
	modules [families]module
}

// module is a family on the device.
type module struct {
	once      sync.Once
	err       error
	functions map[string]cu.Function
}

// New returns the kernels for ctx; nothing is compiled yet.
func New(ctx cu.Context) *Set { return &Set{ctx: ctx} }

// Load compiles a family, which takes the driver up to seconds; the first launch does it where nobody has before. After
// an error the family stays unusable.
func (s *Set) Load(f Family) error {
	m := &s.modules[f]
	m.once.Do(func() { m.functions, m.err = s.load(f) })
	return m.err
}

func (s *Set) load(f Family) (map[string]cu.Function, error) {
	name := f.String() + ".sm_80.ptx"
	text, err := ptx.ReadFile("ptx/" + name)
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	loaded, err := s.ctx.LoadModule(text, cu.ModuleOptions{Name: name})
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	functions := map[string]cu.Function{}
	for _, k := range kernelsOf(f) {
		if functions[k.name], err = loaded.Function(k.name); err != nil {
			return nil, fmt.Errorf("kernels: %w", err)
		}
		if k.sharedBytes > defaultSharedBytes {
			if err := functions[k.name].SetMaxDynamicShared(k.sharedBytes); err != nil {
				return nil, fmt.Errorf("kernels: %w", err)
			}
		}
	}
	return functions, nil
}

// defaultSharedBytes is the dynamic shared memory that a kernel may have without asking.
const defaultSharedBytes = 48 << 10

// kernel is what a launch needs to know besides its parameters.
type kernel struct {
	name        string
	threads     int
	sharedBytes int
}

// kernelsOf lists the kernels of a family.
func kernelsOf(f Family) []kernel {
	switch f {
	case Elementwise:
		return rowKernels(256, "copy", "silu", "add_scaled", "lerp", "affine", "embedding", "patchify!", "unpatchify!", "rgb8!", "taps!")
	case Norm:
		return rowKernels(256, "rms_norm", "layer_norm", "qk_norm_rope")
	case GroupNorm:
		return append(rowKernels(256, "group_norm_sums"), kernel{name: "group_norm_finish", threads: 128})
	case GEMM:
		return tileKernels(gemmTiles, swigluTiles)
	case Attention:
		return attentionKernels()
	}
	return tileKernels(convTiles)
}

// rowKernels lists kernels that come for aligned rows and for any, but for names that end in "!".
func rowKernels(threads int, names ...string) []kernel {
	var all []kernel
	for _, n := range names {
		if base := n[:len(n)-1]; n[len(n)-1] == '!' {
			all = append(all, kernel{name: base, threads: threads})
		} else {
			all = append(all, kernel{name: n, threads: threads}, kernel{name: n + "_any", threads: threads})
		}
	}
	return all
}

// Queue launches kernels on one stream, in order. It is not safe for concurrent use.
type Queue struct {
	set    *Set
	stream cu.Stream
	args   cu.Args
}

// On returns a queue of launches on stream.
func (s *Set) On(stream cu.Stream) *Queue { return &Queue{set: s, stream: stream} }

// launch queues k with the parameters packed in q.args. An empty grid is no work.
func (q *Queue) launch(f Family, k kernel, gridX, gridY int) error {
	if gridX == 0 || gridY == 0 {
		return nil
	}
	if err := q.set.Load(f); err != nil {
		return err
	}
	return q.set.modules[f].functions[k.name].Launch(cu.Dim3{X: gridX, Y: gridY, Z: 1}, cu.Dim3{X: k.threads, Y: 1, Z: 1},
		k.sharedBytes, q.stream, q.args.Bytes())
}

// pick returns the kernel for aligned rows, or its twin for any.
func pick(aligned bool, plain, any string) kernel {
	if aligned {
		return kernel{name: plain, threads: 256}
	}
	return kernel{name: any, threads: 256}
}
