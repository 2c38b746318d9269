// Package ptxsim is a CUDA device in software: what enters is the PTX that ships, with launches and memory as for a
// GPU, what leaves are the kernels' results, or the place where a kernel is wrong. It implements cu.Context, so that
// everything that is written for a GPU runs on it, on any machine, slowly.
//
// A warp's 32 lanes run together, a register being an array of 32 values; blocks run beside each other on the
// processor's cores. Every instruction is known by name and modifiers when a module is loaded, or loading is refused.
//
// # Checks
//
// Bounds, alignment and lifetime of every access; reads of registers and of global, shared, local memory that were never
// written; accesses to shared memory that no barrier, mbarrier or wait orders, by vector clocks over warps and
// asynchronous engines, and within a warp for reads of what another lane wrote; cp.async, bulk copies and wgmma touched
// before their wait; missing proxy fences; collectives that not all lanes reach, barriers that do not match or never
// complete; running past the end and endless loops. A Fault names kernel, block, thread, line of the source and
// instruction; the context is then lost, as a GPU's would be.
//
// # What is not modelled
//
// Time and caches; the order of memory accesses between blocks (it is sequential, so a missing fence or a race on
// global memory is not found); races on shared words that are accessed in parts are found for writes only; lanes of a
// warp that overwrite what another lane reads or writes. Barriers without .aligned are held to the rule of aligned ones.
// Blocks that wait for blocks which are not running yet end as endless loops. Clusters have one block. Approximate
// functions are exact to rounding, NaNs are canonical where an operation makes them, fused sums of matrix operations are
// rounded once: see matrixOps. Textures, indirect calls, recursion, 128-bit registers and printing are refused.
package ptxsim
