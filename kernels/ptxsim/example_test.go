package ptxsim_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// addOne adds one to a 32-bit word for each thread.
const addOne = `.version 7.0
.target sm_80
.address_size 64
.visible .entry add_one(.param .u64 data)
{
	.reg .b32 %r<2>;
	.reg .b64 %d<1>;
	ld.param.u64 %d0, [data];
	mov.u32 %r0, %tid.x;
	mad.wide.u32 %d0, %r0, 4, %d0;
	ld.global.u32 %r1, [%d0];
	add.u32 %r1, %r1, 1;
	st.global.u32 [%d0], %r1;
	ret;
}
`

// must stops an example at the first error.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// Run a kernel without a graphics card: a Context is used as that of package cu.
func Example() {
	device := ptxsim.Open(ptxsim.Device{})
	defer device.Close()
	module := must(device.LoadModule([]byte(addOne), cu.ModuleOptions{Name: "example"}))
	kernel := must(module.Function("add_one"))
	stream := must(device.MakeStream())
	data := must(device.MemAlloc(4 * 4))

	words := []byte{10, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 0, 40, 0, 0, 0}
	params := new(cu.Args).Ptr(data).Bytes()
	err := errors.Join(
		stream.MemcpyHtoDAsync(data, words),
		kernel.Launch(cu.Dim3{X: 1, Y: 1, Z: 1}, cu.Dim3{X: 4, Y: 1, Z: 1}, 0, stream, params),
		stream.MemcpyDtoHAsync(words, data),
		stream.Synchronize(),
	)
	fmt.Println(words[0], words[4], words[8], words[12], err)
	// Output: 11 21 31 41 <nil>
}

// A kernel that is wrong ends with a Fault, which says what it did and where.
func ExampleFault() {
	device := ptxsim.Open(ptxsim.Device{})
	defer device.Close()
	module := must(device.LoadModule([]byte(addOne), cu.ModuleOptions{Name: "example"}))
	kernel := must(module.Function("add_one"))
	stream := must(device.MakeStream())
	data := must(device.MemAlloc(4 * 4))

	// Five threads on memory for four.
	err := errors.Join(
		stream.MemcpyHtoDAsync(data, make([]byte, 4*4)),
		kernel.Launch(cu.Dim3{X: 1, Y: 1, Z: 1}, cu.Dim3{X: 5, Y: 1, Z: 1}, 0, stream, new(cu.Args).Ptr(data).Bytes()),
		stream.Synchronize(),
	)
	var fault *ptxsim.Fault
	if errors.As(err, &fault) {
		fmt.Println(fault.Kernel, fault.Thread, fault.Message)
	}
	// Output: add_one [4 0 0] global access out of bounds: 4 bytes at byte 16 of an allocation of 16
}
