package tensor

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Fault says that a page of a mapped file could not be read: the file was cut short, or its disk is gone. Reading a
// tensor's Data can end in one at any time, in Go code, in assembly and on any goroutine; unguarded it ends the program.
type Fault struct {
	// Address is where in memory the page lies; the checkpoint knows which file that is.
	Address uintptr
}

func (f *Fault) Error() string {
	return fmt.Sprintf("tensor: address %#x: the mapped file could not be read", f.Address)
}

// FaultOf returns the fault that a call of recover gave, nil if that gave nil. It panics again with all else, which is a
// mistake of the program. The goroutine must have set debug.SetPanicOnFault before the fault.
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

// Guard calls f, which reads tensors' Data on this goroutine, and returns the *Fault that ended it, if any.
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
