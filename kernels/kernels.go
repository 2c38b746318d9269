// Package kernels launches the project's own GPU kernels, shipped as PTX for sm_80 and everything after it, and for some
// families as PTX for one kind of GPU beside it. What enters is matrices in device memory and a stream, what leaves is
// queued work; launches wait for nothing. It refuses shapes that do not fit each other, and knows nothing of models,
// weights' names or which device runs it.
//
// One file holds one family of kernels: gemm.go launches src/gemm.cu and src/gemm.sm_90a.cu, compiled to
// ptx/gemm.sm_80.ptx and ptx/gemm.sm_90a.ptx by `make kernels`.
package kernels

import "kleinbild/kernels/cu"

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

// kernel is what a launch needs to know besides its parameters.
type kernel struct {
	name        string
	target      target
	threads     int
	sharedBytes int
}

// kernelsOf lists the kernels of a family that are made for a target.
func kernelsOf(f Family, t target) []kernel {
	var all []kernel
	for _, k := range allKernels(f) {
		if k.target == t {
			all = append(all, k)
		}
	}
	return all
}

func allKernels(f Family) []kernel {
	switch f {
	case Elementwise:
		return rowKernels(256, "copy", "add_scaled", "lerp", "affine", "embedding", "patchify!", "unpatchify!", "rgb8!", "taps!")
	case Norm:
		return rowKernels(256, "rms_norm", "layer_norm", "qk_norm_rope")
	case GroupNorm:
		return append(rowKernels(256, "group_norm_sums"), kernel{name: "group_norm_finish", threads: 128})
	case GEMM:
		return tileKernels(gemmTiles, siluTiles, qkNormRoPETiles, swigluTiles)
	case Attention:
		return tileKernels(attentions[64], attentions[128], attentions[256], attentions[512])
	}
	return tileKernels(convTiles, convNormTiles)
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
	maps   map[tensorKey]*cu.TensorMap
}

// On returns a queue of launches on stream.
func (s *Set) On(stream cu.Stream) *Queue {
	return &Queue{set: s, stream: stream, maps: map[tensorKey]*cu.TensorMap{}}
}

// launch queues k with the parameters packed in q.args. An empty grid is no work.
func (q *Queue) launch(f Family, k kernel, gridX, gridY int) error {
	if gridX == 0 || gridY == 0 {
		return nil
	}
	functions, err := q.set.functions(f, k.target)
	if err != nil {
		return err
	}
	return functions[k.name].Launch(cu.Dim3{X: gridX, Y: gridY, Z: 1}, cu.Dim3{X: k.threads, Y: 1, Z: 1},
		k.sharedBytes, q.stream, q.args.Bytes())
}

// pick returns the kernel for aligned rows, or its twin for any.
func pick(aligned bool, plain, any string) kernel {
	if aligned {
		return kernel{name: plain, threads: 256}
	}
	return kernel{name: any, threads: 256}
}
