// Package driver makes cu's devices and contexts out of the calls of NVIDIA's driver library. It keeps what is the same
// for every binding: the thread that owns a context, the lifetime of what a context makes, the checks before a call, and
// the words of errors. How a call reaches the library is the business of a Binding.
package driver
