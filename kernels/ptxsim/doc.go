// Package ptxsim is a CUDA device in software. It runs the same PTX as a GPU, with the same calls, and returns the
// kernels' results, or a Fault that says where a kernel is wrong. It implements cu.Context, so that code written for a
// GPU runs on it on any machine, slowly.
//
// The 32 lanes of a warp run together: a register is an array of 32 values. Blocks run in parallel on the processor's
// cores. LoadModule returns an error for an instruction or a modifier that the package does not know.
//
// # Checks
//
// The device finds:
//
//   - accesses out of bounds, misaligned, or to freed memory;
//   - reads of registers and of global, shared or local memory that were never written;
//   - races on shared memory: accesses of two warps or asynchronous engines that no barrier, mbarrier or wait orders
//     (by vector clocks, see checks.go), and reads of a value that another lane of the warp wrote with no bar.warp.sync
//     between;
//   - accesses to the memory or the registers of a cp.async, a bulk copy or a wgmma before the wait for it;
//   - missing proxy fences;
//   - collectives that not all lanes reach, and barriers that do not match or never complete;
//   - running past the end of a function, and endless loops.
//
// A Fault names the kernel, block, thread, source line and instruction. The context is then lost, as a GPU's would be.
//
// # What is not modelled
//
// Time and caches are not modelled. Memory accesses of different blocks happen one after the other, so that a missing
// fence or a race on global memory is not found. If a word of shared memory is accessed in parts, only races with an
// earlier write are found. Lanes of a warp that overwrite what another lane reads or writes are not found. Barriers
// without .aligned are treated as .aligned. If a block waits for a block that is not running yet, it ends with the
// fault for an endless loop. Clusters have one block. Approximate functions are computed in float64 and rounded,
// operations return one canonical NaN, and the sums of matrix operations are rounded once: see matrixOps. Textures,
// indirect calls, recursion, 128-bit registers and printing are not supported.
package ptxsim
