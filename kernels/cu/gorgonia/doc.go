// Package gorgonia reaches NVIDIA's driver through gorgonia.org/cu. It is built by cgo if the tag gorgonia is set. The
// folder libcuda has the header and the static library that are used instead of the toolkit's. A program that imports
// this package therefore needs no toolkit to be built, and starts on machines without a driver.
package gorgonia
