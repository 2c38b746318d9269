// Package gorgonia reaches NVIDIA's driver through gorgonia.org/cu. It is built with the tag gorgonia, by cgo, against the
// header and the static library in the folder libcuda, in place of the toolkit's: a program that imports it needs no
// toolkit to be built, and starts on machines without a driver.
package gorgonia
