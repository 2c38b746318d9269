package cu_test

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	. "github.com/kleinbild/kleinbild/kernels/cu"
)

//go:embed testdata/fill.ptx
var fillPTX []byte

// realContext skips where this machine has no GPU.
func realContext(t testing.TB) Context {
	t.Helper()
	c, err := current.MakeContext(0)
	if err != nil {
		t.Skip("no GPU for this test: ", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestGPU runs a kernel at once and as a graph, and reads what it wrote.
func TestGPU(t *testing.T) { each(t, testGPU) }

func testGPU(t *testing.T) {
	c := realContext(t)
	t.Logf("%+v", c.Device())
	free, total, err := c.MemGetInfo()
	if err != nil || free <= 0 || free > total {
		t.Errorf("%d of %d bytes free, %v", free, total, err)
	}
	const n = 100_003
	m := must[Module](t)(c.LoadModule(fillPTX, ModuleOptions{Name: "fill.ptx"}))
	fill := must[Function](t)(m.Function("fill"))
	if a, err := fill.Attributes(); err != nil || a.Registers < 1 || a.LocalBytes != 0 || a.MaxThreads < 256 {
		t.Errorf("attributes %+v, %v", a, err)
	}
	s := must[Stream](t)(c.MakeStream())
	start, end := must[Event](t)(c.MakeEvent(true)), must[Event](t)(c.MakeEvent(true))
	p, q := must[DevicePtr](t)(c.MemAlloc(4*n)), must[DevicePtr](t)(c.MemAlloc(4*n))
	back := must[[]byte](t)(c.MemAllocHost(4 * n))
	var a Args
	work := func(value float32) error {
		params := a.Reset().Ptr(p).Uint32(n - 1).Float32(value).Bytes()
		if err := fill.Launch(Dim3{(n + 255) / 256, 1, 1}, Dim3{256, 1, 1}, 0, s, params); err != nil {
			return err
		}
		if err := s.MemcpyDtoDAsync(q, p, 4*n); err != nil {
			return err
		}
		return s.MemcpyDtoHAsync(back, q)
	}
	verify := func(name string, value float32) {
		t.Helper()
		for i := range n {
			want := value
			if i == n-1 { // beyond what the kernel was given
				want = 0
			}
			if got := math.Float32frombits(binary.LittleEndian.Uint32(back[4*i:])); got != want {
				t.Fatalf("%s: element %d: %g, want %g", name, i, got, want)
			}
		}
	}
	check(t, s.MemsetD8Async(p, 0, 4*n), start.Record(s), work(1.5), end.Record(s), end.Synchronize())
	verify("launch", 1.5)
	if d, err := end.Elapsed(start); err != nil || d <= 0 {
		t.Errorf("elapsed %v, %v", d, err)
	}
	check(t, s.BeginCapture(), work(-2))
	x := must[GraphExec](t)(must[Graph](t)(s.EndCapture()).Instantiate())
	check(t, work(7), x.Launch(s), s.Synchronize())
	verify("graph", -2)
	if c.Device().Major >= 9 && c.Device().DriverVersion >= 12000 {
		map2d := matrix()
		map2d.Address = p
		if m, err := c.TensorMapEncodeTiled(map2d); err != nil || m == (TensorMap{}) {
			t.Errorf("tensor map: % x, %v", m, err)
		}
	}
	broken := strings.Replace(string(fillPTX), "mad.lo.s32", "mad.lo.wrong", 1)
	_, err = c.LoadModule([]byte(broken), ModuleOptions{Name: "broken.ptx"})
	if e, ok := errors.AsType[*JITError](err); !ok || !strings.Contains(e.Log, "line") {
		t.Errorf("broken PTX: %v, want the compiler's log", err)
	}
	_, err = c.MemAlloc(total + 1)
	if e, ok := errors.AsType[*OutOfMemoryError](err); !ok || e.AskedBytes != total+1 || e.FreeBytes <= 0 {
		t.Errorf("more than there is: %v", err)
	}
	check(t, work(3), s.Synchronize()) // none of the refusals did harm
	verify("at last", 3)
	check(t, c.Close())
}

// TestGPUFault loses a context to a kernel and goes on with another.
func TestGPUFault(t *testing.T) { each(t, testGPUFault) }

func testGPUFault(t *testing.T) {
	for range 2 {
		c := realContext(t)
		m := must[Module](t)(c.LoadModule(fillPTX, ModuleOptions{Name: "fill.ptx"}))
		fault := must[Function](t)(m.Function("fault"))
		s := must[Stream](t)(c.MakeStream())
		p := must[DevicePtr](t)(c.MemAlloc(4))
		check(t, s.MemsetD8Async(p, 1, 4), s.Synchronize(), fault.Launch(Dim3{1, 1, 1}, Dim3{1, 1, 1}, 0, s, nil))
		for range 2 {
			if err := s.Synchronize(); !errors.Is(err, ErrContextLost) || !strings.Contains(err.Error(), "fault") {
				t.Errorf("after the fault: %v, want ErrContextLost with the kernel's name", err)
			}
		}
		check(t, c.Close())
	}
	TestGPU(t)
}

// BenchmarkGPULaunch measures the whole way of a launch, the driver's part included.
func BenchmarkGPULaunch(b *testing.B) { each(b, benchmarkGPULaunch) }

func benchmarkGPULaunch(b *testing.B) {
	c := realContext(b)
	m := must[Module](b)(c.LoadModule(fillPTX, ModuleOptions{Name: "fill.ptx"}))
	fill := must[Function](b)(m.Function("fill"))
	s := must[Stream](b)(c.MakeStream())
	p := must[DevicePtr](b)(c.MemAlloc(4))
	var a Args
	a.Ptr(p).Uint32(1).Float32(0)
	launch := func() error { return fill.Launch(Dim3{1, 1, 1}, Dim3{32, 1, 1}, 0, s, a.Bytes()) }
	b.Run("in Do", func(b *testing.B) {
		b.ReportAllocs()
		check(b, c.Do(func() error {
			for b.Loop() {
				if err := launch(); err != nil {
					return err
				}
			}
			return s.Synchronize()
		}))
	})
	b.Run("from another goroutine", func(b *testing.B) {
		for b.Loop() {
			check(b, launch())
		}
		check(b, s.Synchronize())
	})
}
