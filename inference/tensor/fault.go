package tensor

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Fault is the error for a page of a mapped file that cannot be read, because the file was truncated or its disk is
// gone. Any read of a tensor's Data can fault, in Go code or in assembly, on any goroutine. A fault outside Guard ends
// the program.
type Fault struct {
	// Address is the memory address of the failed read. The checkpoint knows which file is mapped there.
	Address uintptr
}

func (f *Fault) Error() string {
	return fmt.Sprintf("tensor: address %#x: the mapped file could not be read", f.Address)
}

// FaultOf converts the result of recover() to a *Fault. It returns nil for nil, and panics again with any other value,
// since that is a bug of the program. The goroutine must have called debug.SetPanicOnFault(true) before the fault.
func FaultOf(recovered any) *Fault {
	switch r := recovered.(type) {
	case nil:
		return nil
	case *Fault:
		return r
	case interface {
		runtime.Error
		Addr() uintptr
	}:
		return &Fault{r.Addr()}
	}
	panic(recovered)
}

// Guard calls f on this goroutine and returns nil, or the *Fault that ended f. It does not guard goroutines that f
// starts.
func Guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := FaultOf(recover()); fault != nil {
			err = fault
		}
	}()
	f()
	return nil
}
