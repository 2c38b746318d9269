// Package kernels launches the project's own GPU kernels. They are shipped as PTX for sm_80 and everything after it,
// and some families also as PTX for one kind of GPU. What enters is matrices in device memory and a stream, what leaves
// is queued work: a launch does not wait for the device. The package refuses shapes that do not fit each other. It
// knows nothing of models, of the names of weights, or of which device runs a kernel.
//
// One file holds one family of kernels: gemm.go describes and launches the operations of src/gemm.cu and
// src/gemm.sm_90a.cu, which `make kernels` compiles to ptx/gemm.sm_80.ptx and ptx/gemm.sm_90a.ptx. README.md shows how
// to add an operation.
package kernels

import (
	"slices"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Family names a file of kernels, which is compiled and loaded as one module: "gemm" for src/gemm.cu.
type Family string

// Families lists all families by name.
func Families() []Family {
	var all []Family
	for _, k := range compiled {
		all = append(all, k.family)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// kernel is one compiled kernel. table.go lists all of them, as the build script finds them in src.
type kernel struct {
	name string
	// group is the name without the tile's size and suffix. The kernels of a group have the same parameters.
	group  string
	family Family
	target Target
	// takes is the alignment that the kernel needs of its operands.
	takes alignment
	// m and n are the rows and columns of the result that a block computes, k the width of a slice of the operands. For an
	// attention they are queries, columns of a head, and keys. They are 0 for kernels that do not compute tiles.
	m, n, k int
	// stages is the number of slices in shared memory at a time, blocks the number of blocks that fit a multiprocessor
	// together.
	threads, stages, blocks int
	// sharedBytes is the dynamic shared memory of a block.
	sharedBytes int
}

// kernelsOf lists the kernels of a family that are made for a target.
func kernelsOf(f Family, t Target) []*kernel {
	var all []*kernel
	for i := range compiled {
		if k := &compiled[i]; k.family == f && k.target == t {
			all = append(all, k)
		}
	}
	return all
}

// rowKernels holds the kernels that do not compute tiles, by group: the one for aligned rows, and the one for all rows,
// whose name ends in _any. A group with a single kernel has it in both places. Such a kernel must compute all rows,
// whatever its name, as patchify does.
var rowKernels = func() map[string][2]*kernel {
	groups := map[string][2]*kernel{}
	for i := range compiled {
		k := &compiled[i]
		if k.m > 0 {
			continue
		}
		group := groups[k.group]
		if k.takes == strict || group[0] == nil {
			group[0] = k
		}
		if k.takes == unaligned || group[1] == nil {
			group[1] = k
		}
		groups[k.group] = group
	}
	return groups
}()

// pick returns the kernel of a group for aligned rows if aligned is set, else the one for all rows.
func pick(group string, aligned bool) *kernel {
	if aligned {
		return rowKernels[group][0]
	}
	return rowKernels[group][1]
}

// named holds the kernels by name.
var named = func() map[string]*kernel {
	all := map[string]*kernel{}
	for i := range compiled {
		all[compiled[i].name] = &compiled[i]
	}
	return all
}()

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

// launch queues k with the parameters that are packed in q.args. An empty grid is no work. Only the functions of
// params.go call it: they pack the parameters of a group.
func (q *Queue) launch(k *kernel, gridX, gridY int) error {
	if gridX == 0 || gridY == 0 {
		return nil
	}
	functions, err := q.set.functions(k.family, k.target)
	if err != nil {
		return err
	}
	return functions[k.name].Launch(cu.Dim3{X: gridX, Y: gridY, Z: 1}, cu.Dim3{X: k.threads, Y: 1, Z: 1},
		k.sharedBytes, q.stream, q.args.Bytes())
}
