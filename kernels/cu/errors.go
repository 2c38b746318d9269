package cu

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart. Each is wrapped by one that says more.
var (
	// ErrNoDriver means that no NVIDIA driver is installed.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrNoDevice means that the driver sees no GPU of this number.
	ErrNoDevice = errors.New("no NVIDIA GPU")
	// ErrNotFound means that a module has no kernel of this name.
	ErrNotFound = errors.New("no such kernel")
	// ErrOutOfMemory is wrapped by every *OutOfMemoryError.
	ErrOutOfMemory = errors.New("out of device memory")
	// ErrContextLost means that a fault has made the context unusable: Close it and make another.
	ErrContextLost = errors.New("the GPU's context is lost")
	// ErrClosed means that the context, or the stream, event or module used, has been closed.
	ErrClosed = errors.New("closed")
)

// DriverTooOldError says that a newer driver is needed.
type DriverTooOldError struct {
	// Need names what requires the newer driver: "PTX 8.0".
	Need string
	// Found and Want are CUDA versions: 12040 for 12.4.
	Found, Want int
}

// Error names both versions and the driver release that suffices.
func (e *DriverTooOldError) Error() string {
	return fmt.Sprintf("the NVIDIA driver is too old: %s needs CUDA %s (driver %s or newer), found CUDA %s",
		e.Need, cudaVersion(e.Want), DriverRelease(e.Want), cudaVersion(e.Found))
}

// DeviceTooOldError says that a GPU is too old.
type DeviceTooOldError struct {
	Name string
	// Compute capabilities.
	FoundMajor, FoundMinor, WantMajor, WantMinor int
}

// Error names the GPU and both compute capabilities.
func (e *DeviceTooOldError) Error() string {
	return fmt.Sprintf("%s is too old: compute capability %d.%d, want %d.%d or newer",
		e.Name, e.FoundMajor, e.FoundMinor, e.WantMajor, e.WantMinor)
}

// OutOfMemoryError says how much device memory was asked for and how much there was, in bytes.
type OutOfMemoryError struct{ AskedBytes, FreeBytes, TotalBytes int64 }

// Error gives all three in MiB. AskedBytes is 0 for memory that the driver allocates for itself, whose size is unknown.
func (e *OutOfMemoryError) Error() string {
	const mib = 1 << 20
	if e.AskedBytes == 0 {
		return fmt.Sprintf("%v: %d of %d MiB are free", ErrOutOfMemory, e.FreeBytes/mib, e.TotalBytes/mib)
	}
	return fmt.Sprintf("%v: asked for %d MiB, %d of %d MiB are free",
		ErrOutOfMemory, (e.AskedBytes+mib-1)/mib, e.FreeBytes/mib, e.TotalBytes/mib)
}

// Unwrap returns ErrOutOfMemory.
func (e *OutOfMemoryError) Unwrap() error { return ErrOutOfMemory }

// LaunchError describes a launch that was refused or failed.
type LaunchError struct {
	Kernel      string
	Grid, Block Dim3
	SharedBytes int
	Err         error
}

// Error names the kernel and its extents.
func (e *LaunchError) Error() string {
	return fmt.Sprintf("launch %s: grid %d×%d×%d, block %d×%d×%d, %d bytes of shared memory: %v", e.Kernel,
		e.Grid.X, e.Grid.Y, e.Grid.Z, e.Block.X, e.Block.Y, e.Block.Z, e.SharedBytes, e.Err)
}

// Unwrap returns the cause.
func (e *LaunchError) Unwrap() error { return e.Err }

// JITError says why the driver did not accept PTX.
type JITError struct {
	// Module is ModuleOptions.Name, Log the output of the compiler.
	Module, Log string
	Err         error
}

// Error is one line, with the first line of the log.
func (e *JITError) Error() string {
	return fmt.Sprintf("load %s: %v%s", e.Module, e.Err, firstLine(e.Log))
}

// Unwrap returns the cause.
func (e *JITError) Unwrap() error { return e.Err }

// DriverError is an error of a call of the driver, in the driver's words.
type DriverError struct {
	// Call is the entry point, Code its CUresult.
	Call string
	Code int
	Text string
}

// Error gives all three.
func (e *DriverError) Error() string { return fmt.Sprintf("%s: %s (error %d)", e.Call, e.Text, e.Code) }

// TargetError says that a module was compiled for another GPU. Targets that end in "a" run on one kind of GPU alone.
type TargetError struct {
	Module, Target, Name string
	// The GPU's compute capability.
	Major, Minor int
}

// Error names the module, its target and the GPU.
func (e *TargetError) Error() string {
	return fmt.Sprintf("load %s: compiled for %s alone, %s is sm_%d%d", e.Module, e.Target, e.Name, e.Major, e.Minor)
}
