// Package cu drives NVIDIA GPUs without cgo and without CUDA's toolkit: what enters is PTX text, bytes and launches,
// what leaves is bytes and errors in plain sentences. The driver is found when it is first needed; a program that
// imports this package runs without one. Names follow CUDA's driver API in the shape of gorgonia.org/cu.
//
// It refuses drivers older than the calls it needs, and knows nothing of models, kernels or tuning.
package cu
