package cu_test

import (
	"errors"
	"strings"
	"testing"

	. "github.com/kleinbild/kleinbild/kernels/cu"
)

// TestNoDriver needs no fake: a library of this name exists nowhere.
func TestNoDriver(t *testing.T) { each(t, testNoDriver) }

func testNoDriver(t *testing.T) {
	useDriver(t, "libcuda-of-no-machine.so.1")
	for name, f := range map[string]func() error{
		"NumDevices":  func() error { _, err := current.NumDevices(); return err },
		"Info":        func() error { _, err := current.Info(0); return err },
		"MakeContext": func() error { _, err := current.MakeContext(0); return err },
	} {
		err := f()
		if !errors.Is(err, ErrNoDriver) {
			t.Fatalf("%s: %v, want ErrNoDriver", name, err)
		}
		for _, part := range []string{
			"no NVIDIA driver: libcuda-of-no-machine.so.1 cannot be loaded", "driver 450 or newer is needed",
		} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q lacks %q", name, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q is more than one line", name, err)
		}
	}
}

// TestThisMachine asks this machine's driver. The answer is a number of GPUs, or an error that says why there is none.
func TestThisMachine(t *testing.T) { each(t, testThisMachine) }

func testThisMachine(t *testing.T) {
	n, err := current.NumDevices()
	var old *DriverTooOldError
	switch {
	case err == nil && n < 1:
		t.Errorf("%d devices without an error", n)
	case err != nil && !errors.Is(err, ErrNoDriver) && !errors.Is(err, ErrNoDevice) && !errors.As(err, &old):
		t.Errorf("%v is none of the errors promised", err)
	}
	t.Log(n, err)
}

func TestMakeContextErrors(t *testing.T) { each(t, testMakeContextErrors) }

func testMakeContextErrors(t *testing.T) {
	for _, row := range []struct {
		name    string
		env     map[string]string
		variant string
		device  int
		is      error
		text    string
	}{
		{name: "driver of CUDA 10.2", env: map[string]string{"FAKECUDA_VERSION": "10020"}, is: &DriverTooOldError{},
			text: "the NVIDIA driver is too old: this program needs CUDA 11.0 (driver 450 or newer), found CUDA 10.2"},
		{name: "driver without devices", env: map[string]string{"FAKECUDA_INIT": "100"}, is: ErrNoDevice,
			text: "no NVIDIA GPU: the driver sees none"},
		{name: "no devices", env: map[string]string{"FAKECUDA_DEVICES": "0"}, is: ErrNoDevice,
			text: "no NVIDIA GPU: the driver sees none"},
		{name: "no such device", device: 1, is: ErrNoDevice,
			text: "no NVIDIA GPU with number 1: found 1, counted from 0"},
		{name: "negative device", device: -1, is: ErrNoDevice,
			text: "no NVIDIA GPU with number -1: found 1, counted from 0"},
		{name: "driver half updated", env: map[string]string{"FAKECUDA_INIT": "803"}, is: ErrNoDriver,
			text: "no NVIDIA driver: its library and its kernel module differ in version, which a restart of the machine cures"},
		{name: "driver that does not start", env: map[string]string{"FAKECUDA_INIT": "999"}, is: ErrNoDriver,
			text: "no NVIDIA driver that works: cuInit: unknown error (error 999)"},
		{name: "Turing", env: map[string]string{"FAKECUDA_SM": "75"}, is: &DeviceTooOldError{},
			text: "Fake GPU is too old: compute capability 7.5, want 8.0 or newer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			useFake(t, "current")
			for k, v := range row.env {
				t.Setenv(k, v)
			}
			_, err := current.MakeContext(row.device)
			requireError(t, err, row.is, row.text)
		})
	}
}

// requireError compares by identity, or by type for a pointer to a struct, and the whole sentence.
func requireError(t *testing.T, err, is error, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", text)
	}
	ok := false
	switch is.(type) {
	case *DriverTooOldError:
		_, ok = errors.AsType[*DriverTooOldError](err)
	case *DeviceTooOldError:
		_, ok = errors.AsType[*DeviceTooOldError](err)
	case *OutOfMemoryError:
		_, ok = errors.AsType[*OutOfMemoryError](err)
		ok = ok && errors.Is(err, ErrOutOfMemory)
	case *LaunchError:
		_, ok = errors.AsType[*LaunchError](err)
	case *JITError:
		_, ok = errors.AsType[*JITError](err)
	case *TargetError:
		_, ok = errors.AsType[*TargetError](err)
	case *DriverError:
		_, ok = errors.AsType[*DriverError](err)
	default:
		ok = errors.Is(err, is)
	}
	if !ok {
		t.Errorf("%v is no %T %v", err, is, is)
	}
	if err.Error() != text {
		t.Errorf("found %q\n want %q", err, text)
	}
}

func TestFeaturesOfAnOldDriver(t *testing.T) { each(t, testFeaturesOfAnOldDriver) }

func testFeaturesOfAnOldDriver(t *testing.T) {
	t.Setenv("FAKECUDA_VERSION", "11030")
	useFake(t, "old")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	requireError(t, s.BeginCapture(), &DriverTooOldError{},
		"the NVIDIA driver is too old: graph capture needs CUDA 11.4 (driver 470 or newer), found CUDA 11.3")
	_, err := s.EndCapture()
	requireError(t, err, &DriverTooOldError{},
		"the NVIDIA driver is too old: graph capture needs CUDA 11.4 (driver 470 or newer), found CUDA 11.3")
	_, err = c.TensorMapEncodeTiled(TensorMapTiled{})
	requireError(t, err, &DriverTooOldError{},
		"the NVIDIA driver is too old: the tensor memory accelerator needs CUDA 12.0 (driver 525 or newer), found CUDA 11.3")
}

func TestLoadModuleErrors(t *testing.T) { each(t, testLoadModuleErrors) }

func testLoadModuleErrors(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		ptx  string
		is   error
		text string
	}{
		{name: "PTX 8.0 on CUDA 11.8", env: map[string]string{"FAKECUDA_VERSION": "11080"},
			ptx: ".version 8.0\n.target sm_90a\n", is: &DriverTooOldError{},
			text: "the NVIDIA driver is too old: PTX 8.0 needs CUDA 12.0 (driver 525 or newer), found CUDA 11.8"},
		{name: "PTX 7.8 on CUDA 11.7", env: map[string]string{"FAKECUDA_VERSION": "11070"},
			ptx: ".version 7.8\n.target sm_90\n", is: &DriverTooOldError{},
			text: "the NVIDIA driver is too old: PTX 7.8 needs CUDA 11.8 (driver 520 or newer), found CUDA 11.7"},
		{name: "newer architecture", env: map[string]string{"FAKECUDA_SM": "86"},
			ptx: ".version 7.8\n.target sm_89, debug\n", is: &DeviceTooOldError{},
			text: "Fake GPU is too old: compute capability 8.6, want 8.9 or newer"},
		{name: "another chip's own", env: map[string]string{"FAKECUDA_SM": "120"},
			ptx: ".version 8.0\n.target sm_90a\n", is: &TargetError{},
			text: "load x.ptx: compiled for sm_90a alone, Fake GPU is sm_120"},
		{name: "no PTX", ptx: "\x7fELF", is: nil, text: "load x.ptx: no .version and .target: this is no PTX"},
		{name: "version without a number", ptx: ".version new\n", is: nil,
			text: `load x.ptx: PTX version "new", want a number`},
		{name: "target without a number", ptx: ".version 7.0\n.target gfx90a\n", is: nil,
			text: `load x.ptx: PTX target "gfx90a", want sm_ and a number after .version`},
		{name: "compiler's refusal", env: map[string]string{
			"FAKECUDA_JIT": "218", "FAKECUDA_JIT_LOG": "\nptxas x, line 7; error : Unknown symbol 'y'\nmore",
		}, ptx: testPTX, is: &JITError{},
			text: "load x.ptx: cuModuleLoadDataEx: a PTX JIT compilation failed (error 218): " +
				"ptxas x, line 7; error : Unknown symbol 'y'"},
		{name: "refusal without a log", env: map[string]string{"FAKECUDA_JIT": "218"}, ptx: testPTX, is: &JITError{},
			text: "load x.ptx: cuModuleLoadDataEx: a PTX JIT compilation failed (error 218)"},
		{name: "version unknown to table and driver", env: map[string]string{"FAKECUDA_JIT": "222"},
			ptx: ".version 99.0\n.target sm_80\n", is: &JITError{},
			text: "load x.ptx: cuModuleLoadDataEx: unknown error (error 222)"},
		{name: "memory", env: map[string]string{"FAKECUDA_JIT": "2"}, ptx: testPTX, is: &OutOfMemoryError{},
			text: "load x.ptx: out of device memory: 1024 of 1024 MiB are free"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for k, v := range row.env {
				t.Setenv(k, v)
			}
			useFake(t, "current")
			c := newContext(t)
			m, err := c.LoadModule([]byte(row.ptx), ModuleOptions{Name: "x.ptx"})
			if m != nil {
				t.Errorf("a module beside the error: %v", m)
			}
			if row.is == nil {
				row.is = err
			}
			requireError(t, err, row.is, row.text)
		})
	}
}

func TestJITErrorKeepsTheLog(t *testing.T) { each(t, testJITErrorKeepsTheLog) }

func testJITErrorKeepsTheLog(t *testing.T) {
	t.Setenv("FAKECUDA_JIT", "218")
	t.Setenv("FAKECUDA_JIT_LOG", "first\nsecond")
	useFake(t, "current")
	_, err := newContext(t).LoadModule([]byte(testPTX), ModuleOptions{Name: "x.ptx"})
	if e, ok := errors.AsType[*JITError](err); !ok || e.Log != "first\nsecond" || e.Module != "x.ptx" {
		t.Errorf("found %#v", err)
	}
}

func TestOutOfMemory(t *testing.T) { each(t, testOutOfMemory) }

func testOutOfMemory(t *testing.T) {
	t.Setenv("FAKECUDA_TOTAL_MIB", "64")
	f := useFake(t, "current")
	c := newContext(t)
	must[DevicePtr](t)(c.MemAlloc(10 << 20))
	_, err := c.MemAlloc(60<<20 + 1)
	requireError(t, err, &OutOfMemoryError{}, "out of device memory: asked for 61 MiB, 54 of 64 MiB are free")
	if e, ok := errors.AsType[*OutOfMemoryError](err); !ok || *e != (OutOfMemoryError{60<<20 + 1, 54 << 20, 64 << 20}) {
		t.Errorf("found %+v", e)
	}
	if n := f.count("device"); n != 1 {
		t.Errorf("%d allocations, want 1", n)
	}
	must[DevicePtr](t)(c.MemAlloc(54 << 20))
}

// TestOutOfMemoryAnywhere fails each allocation of a run in turn: what was allocated before is freed by Close.
func TestOutOfMemoryAnywhere(t *testing.T) { each(t, testOutOfMemoryAnywhere) }

func testOutOfMemoryAnywhere(t *testing.T) {
	f := useFake(t, "current")
	for _, at := range []string{"1", "2", "3"} {
		t.Setenv("FAKECUDA_OOM_AT", at)
		c := must[Context](t)(current.MakeContext(0))
		var err error
		allocated := 0
		for err == nil && allocated < 5 {
			if _, err = c.MemAlloc(1000); err == nil {
				allocated++
			}
		}
		if !errors.Is(err, ErrOutOfMemory) || allocated != int(at[0]-'1') || f.count("device") != allocated {
			t.Errorf("at %s: %d allocations, %d alive, %v", at, allocated, f.count("device"), err)
		}
		check(t, c.Close())
		if n := f.count("device"); n != 0 {
			t.Errorf("at %s: %d allocations outlive Close", at, n)
		}
	}
}

func TestAllocationsRefused(t *testing.T) { each(t, testAllocationsRefused) }

func testAllocationsRefused(t *testing.T) {
	useFake(t, "current")
	c := newContext(t)
	for _, n := range []int64{0, -1} {
		if _, err := c.MemAlloc(n); err == nil {
			t.Errorf("MemAlloc(%d): no error", n)
		}
		if _, err := c.MemAllocHost(int(n)); err == nil {
			t.Errorf("MemAllocHost(%d): no error", n)
		}
	}
	t.Setenv("FAKECUDA_HOST_OOM", "1")
	_, err := c.MemAllocHost(1 << 20)
	requireError(t, err, &DriverError{},
		"allocate 1048576 bytes of page-locked memory: cuMemHostAlloc: out of memory (error 2)")
	if errors.Is(err, ErrOutOfMemory) {
		t.Errorf("%v claims that the device's memory ran out", err)
	}
	if err := c.MemFree(0x1234); !errors.Is(err, ErrClosed) {
		t.Errorf("freeing what is not allocated: %v, want ErrClosed", err)
	}
	if err := c.MemFreeHost(make([]byte, 4)); !errors.Is(err, ErrClosed) {
		t.Errorf("freeing Go memory: %v, want ErrClosed", err)
	}
	if err := c.MemFreeHost(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("freeing nil: %v, want ErrClosed", err)
	}
}

func TestLaunchErrors(t *testing.T) { each(t, testLaunchErrors) }

func testLaunchErrors(t *testing.T) {
	useFake(t, "current")
	c := newContext(t)
	f := loadFunction(t, c, "nothing")
	s := must[Stream](t)(c.MakeStream())
	one := Dim3{1, 1, 1}
	for _, row := range []struct {
		name        string
		grid, block Dim3
		shared      int
		stream      Stream
		params      []byte
		text        string
	}{
		{
			"no grid", Dim3{0, 1, 1}, one, 0, s, nil,
			"launch nothing: grid 0×1×1, block 1×1×1, 0 bytes of shared memory: extent 0, want 1 … 2147483647",
		},
		{
			"beyond 32 bits", Dim3{1<<32 + 1, 1, 1}, one, 0, s, nil,
			"launch nothing: grid 4294967297×1×1, block 1×1×1, 0 bytes of shared memory: extent 4294967297, want 1 … 2147483647",
		},
		{
			"negative shared", one, one, -1, s, nil,
			"launch nothing: grid 1×1×1, block 1×1×1, -1 bytes of shared memory: shared memory of -1 bytes",
		},
		{
			"long parameters", one, one, 0, s, make([]byte, 4097),
			"launch nothing: grid 1×1×1, block 1×1×1, 0 bytes of shared memory: parameters of 4097 bytes, want 4096 at most",
		},
		{
			"no stream", one, one, 0, nil, nil,
			"launch nothing: grid 1×1×1, block 1×1×1, 0 bytes of shared memory: stream: made by another device's context",
		},
		{
			"block too large", one, Dim3{1025, 1, 1}, 0, s, nil,
			"launch nothing: grid 1×1×1, block 1025×1×1, 0 bytes of shared memory: cuLaunchKernel: invalid argument (error 1)",
		},
		{
			"shared memory not allowed", one, one, 65536, s, nil,
			"launch nothing: grid 1×1×1, block 1×1×1, 65536 bytes of shared memory: cuLaunchKernel: invalid argument (error 1)",
		},
		{
			"parameters too many", one, one, 0, s, make([]byte, 4),
			"launch nothing: grid 1×1×1, block 1×1×1, 0 bytes of shared memory: cuLaunchKernel: invalid argument (error 1)",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			requireError(t, f.Launch(row.grid, row.block, row.shared, row.stream, row.params), &LaunchError{}, row.text)
		})
	}
	t.Setenv("FAKECUDA_LAUNCH", "701")
	requireError(t, f.Launch(one, one, 0, s, nil), &LaunchError{},
		"launch nothing: grid 1×1×1, block 1×1×1, 0 bytes of shared memory: "+
			"cuLaunchKernel: too many resources requested for launch (error 701)")
	if err := c.Synchronize(); err != nil {
		t.Errorf("a refused launch is no fault of the context: %v", err)
	}
}

// TestContextLost: a kernel faults, every call says so until the context is closed, and the next one works.
func TestContextLost(t *testing.T) { each(t, testContextLost) }

func testContextLost(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	fill := loadFunction(t, c, "nothing")
	s := must[Stream](t)(c.MakeStream())
	e := must[Event](t)(c.MakeEvent(false))
	p := must[DevicePtr](t)(c.MemAlloc(256))
	t.Setenv("FAKECUDA_FAULT", "700")
	one := Dim3{1, 1, 1}
	check(t, fill.Launch(one, one, 0, s, nil))
	const reason = "an illegal memory access was encountered (error 700); the last kernel launched was nothing"
	for name, row := range map[string]struct {
		err  error
		call string
	}{
		"synchronize": {s.Synchronize(), "cuStreamSynchronize"},
		"launch":      {fill.Launch(one, one, 0, s, nil), "cuLaunchKernel"},
		"copy":        {s.MemcpyHtoDAsync(p, make([]byte, 4)), "cuMemcpyHtoDAsync_v2"},
		"record":      {e.Record(s), "cuEventRecord"},
		"context":     {c.Synchronize(), "cuCtxSynchronize"},
		"free":        {c.MemFree(p), "cuMemFree_v2"},
	} {
		t.Run(name, func(t *testing.T) {
			requireError(t, row.err, ErrContextLost, "the GPU's context is lost: "+row.call+": "+reason)
			if e, ok := errors.AsType[*DriverError](row.err); !ok || e.Code != 700 {
				t.Errorf("%v does not carry the driver's error", row.err)
			}
		})
	}
	check(t, c.Close())
	t.Setenv("FAKECUDA_FAULT", "0")
	c = newContext(t)
	s = must[Stream](t)(c.MakeStream())
	check(t, loadFunction(t, c, "nothing").Launch(one, one, 0, s, nil), s.Synchronize())
	if n := f.count("module"); n != 1 {
		t.Errorf("%d modules alive, want the new context's only", n)
	}
}
