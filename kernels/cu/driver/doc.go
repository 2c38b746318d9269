// Package driver makes cu's devices and contexts out of the calls of NVIDIA's driver library. It has what is the same
// for every binding: the thread that owns a context, the lifetime of what a context makes, the checks before a call,
// and the texts of errors. A Binding only calls the library.
package driver
