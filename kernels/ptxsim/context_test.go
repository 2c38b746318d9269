package ptxsim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// adder is a kernel that adds one to each of 32 words; with a size of zero it reads out of bounds.
const adder = `.version 7.0
.target sm_80
.address_size 64
.visible .entry add_one(.param .u64 data)
.maxntid 64
{
	.reg .b32 %r<4>;
	.reg .b64 %d<4>;
	ld.param.u64 %d0, [data];
	mov.u32 %r0, %tid.x;
	mad.wide.u32 %d0, %r0, 4, %d0;
	ld.global.u32 %r1, [%d0];
	add.u32 %r1, %r1, 1;
	st.global.u32 [%d0], %r1;
	ret;
}
`

func loadAdder(r *rig) cu.Function {
	r.Helper()
	m, err := r.LoadModule([]byte(adder), cu.ModuleOptions{Name: "adder"})
	if err != nil {
		r.Fatal(err)
	}
	return r.function(m, "add_one")
}

// TestLaziness checks that work runs when a caller waits for it and not before, so that missing waits give wrong
// results.
func TestLaziness(t *testing.T) {
	r := newRig(t, Device{})
	f := loadAdder(r)
	p := r.alloc(128, make([]byte, 128))
	args := new(cu.Args).Ptr(p)
	other, err := r.MakeStream()
	if err != nil {
		t.Fatal(err)
	}
	e, _ := r.MakeEvent(true)
	got := make([]byte, 128)
	if err := f.Launch(dim(1), dim(32), 0, r.stream, args.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := e.Record(r.stream); err != nil {
		t.Fatal(err)
	}
	read := func() byte {
		t.Helper()
		if err := other.MemcpyDtoHAsync(got, p); err != nil {
			t.Fatal(err)
		}
		if err := other.Synchronize(); err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	if v := read(); v != 0 {
		t.Errorf("without a wait the other stream sees %d, want 0", v)
	}
	if err := other.Wait(e); err != nil {
		t.Fatal(err)
	}
	if v := read(); v != 1 {
		t.Errorf("after the event the other stream sees %d, want 1", v)
	}
	host := bytes.Repeat([]byte{7}, 128)
	if err := r.stream.MemcpyHtoDAsync(p, host); err != nil {
		t.Fatal(err)
	}
	host[0] = 9 // before the copy has run
	if v := r.read(p, 4)[0]; v != 9 {
		t.Errorf("the copy took %d, want the changed 9", v)
	}
	start, _ := r.MakeEvent(true)
	if _, err := e.Elapsed(start); err == nil {
		t.Error("elapsed since an event that was never recorded: no error")
	}
}

func TestGraph(t *testing.T) {
	r := newRig(t, Device{})
	f := loadAdder(r)
	p := r.alloc(128, make([]byte, 128))
	if err := r.stream.BeginCapture(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Launch(dim(1), dim(32), 0, r.stream, new(cu.Args).Ptr(p).Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stream.Synchronize(); err == nil {
		t.Error("synchronize while recording: no error")
	}
	g, err := r.stream.EndCapture()
	if err != nil {
		t.Fatal(err)
	}
	if v := r.read(p, 4)[0]; v != 0 {
		t.Errorf("recording ran the work: the word is %d", v)
	}
	x, err := g.Instantiate()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := x.Launch(r.stream); err != nil {
			t.Fatal(err)
		}
	}
	if v := r.read(p, 4)[0]; v != 6 {
		t.Errorf("two runs of three launches give %d, want 6", v)
	}
}

// TestLostContext checks that the call that waits returns the fault, and that every call after it does.
func TestLostContext(t *testing.T) {
	r := newRig(t, Device{})
	f := loadAdder(r)
	p := r.alloc(124, make([]byte, 124))
	if err := f.Launch(dim(1), dim(32), 0, r.stream, new(cu.Args).Ptr(p).Bytes()); err != nil {
		t.Fatalf("the launch itself: %v, want no error yet", err)
	}
	err := r.Synchronize()
	var fault *Fault
	if !errors.Is(err, cu.ErrContextLost) || !errors.As(err, &fault) || fault.Kernel != "add_one" ||
		fault.Thread != [3]int{31, 0, 0} ||
		fault.PTXLine != 12 || !strings.Contains(err.Error(), "ld.global.u32 %r1, [%d0]") {
		t.Fatalf("synchronize: %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of more than one line: %q", err)
	}
	for name, call := range map[string]func() error{
		"alloc":  func() error { _, err := r.MemAlloc(4); return err },
		"copy":   func() error { return r.stream.MemcpyHtoDAsync(p, make([]byte, 4)) },
		"launch": func() error { return f.Launch(dim(1), dim(1), 0, r.stream, new(cu.Args).Ptr(p).Bytes()) },
		"stream": func() error { _, err := r.MakeStream(); return err },
	} {
		if err := call(); !errors.Is(err, cu.ErrContextLost) {
			t.Errorf("%s after the fault: %v, want %v", name, err, cu.ErrContextLost)
		}
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := r.MemAlloc(4); !errors.Is(err, cu.ErrClosed) {
		t.Errorf("alloc after close: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, Device{TotalBytes: 1 << 20})
	f := loadAdder(r)
	p := r.alloc(128, make([]byte, 128))
	params := new(cu.Args).Ptr(p).Bytes()
	var oom *cu.OutOfMemoryError
	if _, err := r.MemAlloc(1 << 20); !errors.As(err, &oom) || oom.FreeBytes != 1<<20-128 {
		t.Errorf("too large an allocation: %v", err)
	}
	var refused *cu.LaunchError
	for name, err := range map[string]error{
		"no threads":       f.Launch(dim(1), dim(0), 0, r.stream, params),
		"too many threads": f.Launch(dim(1), dim(65), 0, r.stream, params),
		"shared memory":    f.Launch(dim(1), dim(32), 50<<10, r.stream, params),
		"parameters":       f.Launch(dim(1), dim(32), 0, r.stream, params[:4]),
	} {
		if !errors.As(err, &refused) || refused.Kernel != "add_one" {
			t.Errorf("%s: %v, want a launch error", name, err)
		}
	}
	if err := f.SetMaxDynamicShared(1 << 20); err == nil {
		t.Error("a megabyte of shared memory: no error")
	}
	if err := f.SetMaxDynamicShared(100 << 10); err != nil {
		t.Error(err)
	}
	if err := f.Launch(dim(1), dim(32), 50<<10, r.stream, params); err != nil {
		t.Error(err)
	}
	if err := r.stream.MemcpyHtoDAsync(p, make([]byte, 129)); err == nil || errors.Is(err, cu.ErrContextLost) {
		t.Errorf("copy past the end: %v, want an error that does not lose the context", err)
	}
	if err := r.MemFree(p + 4); err == nil {
		t.Error("free of a pointer into an allocation: no error")
	}
	var jit *cu.JITError
	if _, err := r.LoadModule([]byte(strings.Replace(adder, "sm_80", "sm_90", 1)),
		cu.ModuleOptions{Name: "m"}); !errors.As(err, &jit) || jit.Module != "m" {
		t.Errorf("module for a newer device: %v", err)
	}
	if _, err := r.LoadModule([]byte("nonsense"), cu.ModuleOptions{Name: "m"}); !errors.As(err, &jit) ||
		!strings.Contains(jit.Log, "line 1") {
		t.Errorf("nonsense: %v", err)
	}
}

// TestUndefine checks that a read of memory after Undefine is a fault.
func TestUndefine(t *testing.T) {
	r := newRig(t, Device{})
	f := loadAdder(r)
	p := r.alloc(256, make([]byte, 256))
	if err := r.Undefine(p+64, 4); err != nil {
		t.Fatal(err)
	}
	if err := f.Launch(dim(1), dim(32), 0, r.stream, new(cu.Args).Ptr(p).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := r.Synchronize(); err == nil || !strings.Contains(err.Error(), "has not been written") {
		t.Errorf("%v, want a fault for a read of memory that was not written", err)
	}
}

// TestSkippedChecks runs texts of testdata/bugs with the check for their bug skipped: they must not fault.
func TestSkippedChecks(t *testing.T) {
	for _, row := range []struct {
		bug    string
		checks Checks
	}{
		{"uninitialised_register", Checks{SkipUninitialised: true}},
		{"write_after_write", Checks{SkipRaces: true}},
		{"missing_barrier", Checks{SkipRaces: true, SkipUninitialised: true}},
		{"mismatched_barrier", Checks{SkipBarrierMatch: true}},
	} {
		t.Run(row.bug, func(t *testing.T) {
			text, err := os.ReadFile("testdata/bugs/" + row.bug + ".ptx")
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, Device{Checks: row.checks})
			m, err := r.LoadModule(text, cu.ModuleOptions{Name: row.bug})
			if err != nil {
				t.Fatal(err)
			}
			p := r.alloc(1024, make([]byte, 1024))
			r.launch(r.function(m, row.bug), dim(1), dim(64), 0, new(cu.Args).Ptr(p).Ptr(p).Ptr(p))
		})
	}
}

// TestTensorCopies copies a box of a tensor to shared memory and from there to another tensor, with every swizzle.
// Elements outside the tensor read as the fill value and are not written.
func TestTensorCopies(t *testing.T) {
	const code = `.version 8.0
.target sm_90
.address_size 64
.visible .entry move(.param .align 64 .b8 from[128], .param .align 64 .b8 to[128], .param .u64 image,
	.param .u32 x, .param .u32 y, .param .u32 z, .param .u32 size)
{
	.reg .pred %p<4>;
	.reg .b32 %r<16>;
	.reg .b64 %d<8>;
	.shared .align 1024 .b8 tile[2048];
	.shared .align 8 .b64 bar;
	ld.param.u32 %r1, [x];
	ld.param.u32 %r2, [y];
	ld.param.u32 %r3, [z];
	ld.param.u32 %r4, [size];
	mov.u32 %r5, tile;
	mov.u32 %r6, bar;
	mov.b64 %d0, from;
	cvta.param.u64 %d0, %d0;
	mov.b64 %d1, to;
	cvta.param.u64 %d1, %d1;
	mbarrier.init.shared::cta.b64 [%r6], 1;
	fence.proxy.async;
	mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r6], %r4;
	cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r5], [%d0, {%r1, %r2, %r3}], [%r6];
again:
	mbarrier.try_wait.parity.shared::cta.b64 %p0, [%r6], 0;
	@!%p0 bra again;
	cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%d1, {%r1, %r2, %r3}], [%r5];
	ld.param.u64 %d2, [image];
	cp.async.bulk.global.shared::cta.bulk_group [%d2], [%r5], %r4;
	cp.async.bulk.commit_group;
	cp.async.bulk.wait_group 0;
	ret;
}
`
	const nx, ny, nz = 24, 5, 3
	source := make([]uint16, nx*ny*nz)
	for i := range source {
		source[i] = uint16(i + 1)
	}
	for _, row := range []struct {
		swizzle cu.TensorMapSwizzle
		fill    cu.TensorMapFill
		box     []int
		at      [3]int32
	}{
		{cu.SwizzleNone, cu.FillZero, []int{8, 2, 2}, [3]int32{8, 1, 1}},
		{cu.SwizzleNone, cu.FillNaN, []int{8, 4, 2}, [3]int32{-3, 3, -1}},
		{cu.Swizzle32B, cu.FillZero, []int{16, 4, 2}, [3]int32{16, 2, 2}},
		{cu.Swizzle64B, cu.FillZero, []int{32, 5, 1}, [3]int32{-8, 0, 0}},
		{cu.Swizzle128B, cu.FillZero, []int{64, 4, 2}, [3]int32{0, 0, 1}},
	} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			r := newRig(t, Device{Major: 9})
			m, err := r.LoadModule([]byte(code), cu.ModuleOptions{Name: "move"})
			if err != nil {
				t.Fatal(err)
			}
			p := r.alloc(len(source)*2, bytesOf(source))
			q := r.alloc(len(source)*2, bytes.Repeat([]byte{0xee}, len(source)*2))
			describe := func(p cu.DevicePtr) *cu.TensorMap {
				m, err := r.TensorMapEncodeTiled(cu.TensorMapTiled{Type: cu.TensorMapBFloat16, Address: p,
					Dims:    []int64{nx, ny, nz},
					Strides: []int64{nx * 2, nx * ny * 2}, Box: row.box, Swizzle: row.swizzle, Fill: row.fill})
				if err != nil {
					t.Fatal(err)
				}
				return &m
			}
			n := row.box[0] * row.box[1] * row.box[2] * 2
			image := r.alloc(n, nil)
			r.launch(r.function(m, "move"), dim(1), dim(1), 0,
				new(cu.Args).TensorMap(describe(p)).TensorMap(describe(q)).Ptr(image).
					Int32(row.at[0]).Int32(row.at[1]).Int32(row.at[2]).Int32(int32(n)))
			got, copied := r.read(image, n), r.read(q, len(source)*2)
			inBox := make([]bool, len(source))
			for i := range n / 2 {
				x, y, z := int(row.at[0])+i%row.box[0], int(row.at[1])+i/row.box[0]%row.box[1],
					int(row.at[2])+i/row.box[0]/row.box[1]
				want := uint16(0)
				if row.fill == cu.FillNaN {
					want = 0x7fff
				}
				if x >= 0 && x < nx && y >= 0 && y < ny && z >= 0 && z < nz {
					want = source[(z*ny+y)*nx+x]
					inBox[(z*ny+y)*nx+x] = true
				}
				// The swizzle xors the number of the 16-byte chunk with the lowest bits of the number of the 128-byte
				// row, as many as the pattern has.
				chunk := i * 2 / 16
				chunk ^= i * 2 / 128 & (1<<row.swizzle - 1)
				if v := binary.LittleEndian.Uint16(got[chunk*16+i*2%16:]); v != want {
					t.Fatalf("element %d of the box: %#x, want %#x", i, v, want)
				}
			}
			for i := range source {
				want := uint16(0xeeee)
				if inBox[i] {
					want = source[i]
				}
				if v := binary.LittleEndian.Uint16(copied[i*2:]); v != want {
					t.Fatalf("element %d of the copy: %#x, want %#x", i, v, want)
				}
			}
		})
	}
}

func TestTensorMapRefusals(t *testing.T) {
	r := newRig(t, Device{Major: 9})
	good := func() cu.TensorMapTiled {
		return cu.TensorMapTiled{Type: cu.TensorMapBFloat16, Address: 1 << 20, Dims: []int64{64, 8}, Strides: []int64{128},
			Box: []int{64, 8}, Swizzle: cu.Swizzle128B}
	}
	if _, err := r.TensorMapEncodeTiled(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*cu.TensorMapTiled){
		"type":     func(t *cu.TensorMapTiled) { t.Type = 99 },
		"address":  func(t *cu.TensorMapTiled) { t.Address += 8 },
		"rank":     func(t *cu.TensorMapTiled) { t.Dims = nil },
		"strides":  func(t *cu.TensorMapTiled) { t.Strides = nil },
		"stride":   func(t *cu.TensorMapTiled) { t.Strides[0] = 120 },
		"box":      func(t *cu.TensorMapTiled) { t.Box[1] = 257 },
		"row":      func(t *cu.TensorMapTiled) { t.Box[0] = 12 },
		"swizzle":  func(t *cu.TensorMapTiled) { t.Swizzle = cu.Swizzle64B },
		"fill":     func(t *cu.TensorMapTiled) { t.Type, t.Fill = cu.TensorMapInt32, cu.FillNaN },
		"elements": func(t *cu.TensorMapTiled) { t.ElementStrides = []int{1, 9} },
	} {
		m := good()
		spoil(&m)
		if _, err := r.TensorMapEncodeTiled(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
