package cu_test

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// Parameters of the kernel
//
//	.entry scale(.param .u32 count, .param .f32 factor, .param .u64 data)
//
// are packed in this order, each at its natural alignment.
func ExampleArgs() {
	data := cu.DevicePtr(0x7f0000001000) // from Context.MemAlloc
	var args cu.Args
	args.Uint32(256).Float32(0.5).Ptr(data)
	fmt.Printf("% x\n", args.Bytes())

	args.Reset().Uint32(7).Ptr(data) // a pointer begins at a multiple of 8 bytes
	fmt.Printf("% x\n", args.Bytes())
	// Output:
	// 00 01 00 00 00 00 00 3f 00 10 00 00 00 7f 00 00
	// 07 00 00 00 00 00 00 00 00 10 00 00 00 7f 00 00
}
