// Package cu is the interface of an NVIDIA GPU, without CUDA's toolkit: what enters is PTX text, bytes and launches,
// what leaves is bytes and errors in plain sentences. Names follow CUDA's driver API in the shape of gorgonia.org/cu.
// The package driver implements it, with a binding that reaches the driver's library. It refuses drivers that are too
// old for the calls that it needs.
//
// It knows nothing of models, kernels or tuning.
package cu
