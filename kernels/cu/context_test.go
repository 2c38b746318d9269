package cu_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/kleinbild/kleinbild/kernels/cu"
)

func TestDevice(t *testing.T) { each(t, testDevice) }

func testDevice(t *testing.T) {
	useFake(t, "current")
	if n, err := current.NumDevices(); n != 1 || err != nil {
		t.Fatalf("found %d, %v, want 1 device", n, err)
	}
	want := DeviceInfo{
		Name: "Fake GPU", Major: 9, Minor: 0, DriverVersion: 12080,
		UUID: "GPU-00112233-4455-6677-8899-aabbccddeeff", PCIBusID: "0000:01:00.0",
		TotalBytes: 1 << 30, SMs: 132, SharedBytesPerBlock: 232448, SharedBytesPerSM: 233472,
		WarpSize: 32, L2Bytes: 60 << 20, ClockKHz: 1980000, MemoryClockKHz: 3201000, MemoryBusBits: 6144,
	}
	if got, err := current.Info(0); got != want || err != nil {
		t.Errorf("found %+v, %v\n want %+v", got, err, want)
	}
	if got := newContext(t).Device(); got != want {
		t.Errorf("the context says %+v", got)
	}
}

// TestCopies sends bytes to the device and back through page-locked and Go memory.
func TestCopies(t *testing.T) { each(t, testCopies) }

func testCopies(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	const n = 4097
	a, b := must[DevicePtr](t)(c.MemAlloc(n)), must[DevicePtr](t)(c.MemAlloc(2*n))
	free, total, err := c.MemGetInfo()
	if err != nil || total != 1<<30 || total-free != 3*n {
		t.Errorf("%d of %d bytes free, %v", free, total, err)
	}
	pinned := must[[]byte](t)(c.MemAllocHost(n))
	if len(pinned) != n {
		t.Fatalf("%d bytes of page-locked memory, want %d", len(pinned), n)
	}
	for i := range pinned {
		pinned[i] = byte(i * 7)
	}
	back := make([]byte, 2*n)
	check(t,
		s.MemsetD8Async(b, 0x3c, 2*n),
		s.MemcpyHtoDAsync(a, pinned),
		s.MemcpyDtoDAsync(b+n-5, a, n),
		s.MemcpyDtoHAsync(back, b),
		s.MemcpyHtoDAsync(a, nil), s.MemcpyDtoHAsync(nil, a), s.MemcpyDtoDAsync(a, b, 0), s.MemsetD8Async(a, 1, 0),
		s.Synchronize(),
	)
	want := slices.Concat(bytes.Repeat([]byte{0x3c}, n-5), pinned, bytes.Repeat([]byte{0x3c}, 5))
	if !bytes.Equal(back, want) {
		t.Error("what came back is not what was sent")
	}
	wantLog(t, f, "set bytes=8194 value=60", "htod bytes=4097 pinned=1", "dtod bytes=4097", "dtoh bytes=8194 pinned=0",
		"synchronize owner=0")
	check(t, c.MemFreeHost(pinned), c.MemFree(a))
	if err := c.MemFree(a); !errors.Is(err, ErrClosed) {
		t.Errorf("freed twice: %v, want ErrClosed", err)
	}
	if f.count("pinned") != 0 || f.count("device") != 1 {
		t.Errorf("%d page-locked and %d device allocations alive, want 0 and 1", f.count("pinned"), f.count("device"))
	}
}

// wantLog compares want with the fake's log, from the line on that is the first of want.
func wantLog(t *testing.T, f *fakeDriver, want ...string) {
	t.Helper()
	got := f.log()
	if i := slices.Index(got, want[0]); i > 0 {
		got = got[i:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("the driver was asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLaunch compares every argument that reaches the driver.
func TestLaunch(t *testing.T) { each(t, testLaunch) }

func testLaunch(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	fill, tiled := loadFunction(t, c, "fill"), loadFunction(t, c, "tiled")
	if fill.Name() != "fill" {
		t.Errorf("name %q", fill.Name())
	}
	var a Args
	a.Ptr(0x1122334455667788).Int32(-2).Float32(1).Uint64(0xa)
	check(t, fill.Launch(Dim3{3, 2, 1}, Dim3{128, 4, 2}, 4096, s, a.Bytes()))
	var m TensorMap
	for i := range m {
		m[i] = byte(i)
	}
	a.Reset().Uint32(7).TensorMap(&m).Ptr(0x99)
	check(t, tiled.SetMaxDynamicShared(200_000), tiled.Launch(Dim3{1, 1, 65535}, Dim3{1, 1, 1}, 200_000, s, a.Bytes()))
	hex := ""
	for i := range m {
		hex += string("0123456789abcdef"[i>>4]) + string("0123456789abcdef"[i&15])
	}
	wantLog(t, f,
		"launch fill grid=3,2,1 block=128,4,2 shared=4096 params=8877665544332211"+"feffffff"+"0000803f"+"0a00000000000000",
		"launch tiled grid=1,1,65535 block=1,1,1 shared=200000 params=07000000"+strings.Repeat("00", 60)+hex+
			"9900000000000000")
}

func TestFunctions(t *testing.T) { each(t, testFunctions) }

func testFunctions(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	m := must[Module](t)(c.LoadModule([]byte(testPTX), ModuleOptions{Name: "test.ptx", LineInfo: true}))
	fill := must[Function](t)(m.Function("fill"))
	want := FunctionAttributes{Registers: 96, LocalBytes: 16, SharedBytes: 256, MaxThreads: 1024}
	if got, err := fill.Attributes(); err != nil || got != want {
		t.Errorf("found %+v, %v", got, err)
	}
	_, err := m.Function("absent")
	requireError(t, err, ErrNotFound, "test.ptx: no such kernel: absent")
	requireError(t, fill.SetMaxDynamicShared(1<<20), &DriverError{},
		"fill: 1048576 bytes of dynamic shared memory, the GPU has 232448 for a block: "+
			"cuFuncSetAttribute: invalid argument (error 1)")
	if log := f.log()[0]; log != "load bytes="+strconv.Itoa(len(testPTX))+" line_info=1" {
		t.Errorf("loaded as %q", log)
	}
	s := must[Stream](t)(c.MakeStream())
	check(t, m.Unload())
	_, err = fill.Attributes()
	for name, err := range map[string]error{
		"unload twice": m.Unload(), "launch": fill.Launch(Dim3{1, 1, 1}, Dim3{1, 1, 1}, 0, s, make([]byte, 24)),
		"attributes": err, "shared": fill.SetMaxDynamicShared(1),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Unload: %v, want ErrClosed", name, err)
		}
	}
}

func TestEvents(t *testing.T) { each(t, testEvents) }

func testEvents(t *testing.T) {
	t.Setenv("FAKECUDA_BUSY", "2")
	f := useFake(t, "current")
	c := newContext(t)
	a, b := must[Stream](t)(c.MakeStream()), must[Stream](t)(c.MakeStream())
	start, end := must[Event](t)(c.MakeEvent(true)), must[Event](t)(c.MakeEvent(true))
	check(t, start.Record(a))
	time.Sleep(2 * time.Millisecond)
	check(t, end.Record(a), b.Wait(end), end.Synchronize())
	d, err := end.Elapsed(start)
	if err != nil || d < 2*time.Millisecond || d > time.Minute {
		t.Errorf("elapsed %v, %v, want 2 ms at least", d, err)
	}
	for i, want := range []bool{false, false, true} {
		if passed, err := end.Query(); passed != want || err != nil {
			t.Errorf("query %d: %v, %v, want %v", i, passed, err, want)
		}
	}
	mark := must[Event](t)(c.MakeEvent(false))
	check(t, mark.Record(b))
	if _, err := mark.Elapsed(start); err == nil {
		t.Error("elapsed to an event without timing: no error")
	}
	wantLog(t, f, "record", "record", "wait", "record")
	check(t, mark.Destroy(), b.Destroy())
	for name, err := range map[string]error{
		"destroy": mark.Destroy(), "record": mark.Record(a), "wait": a.Wait(mark), "synchronize": mark.Synchronize(),
		"stream": b.Destroy(), "on a stream": start.Record(b), "copy": b.MemsetD8Async(1, 2, 3),
		"synchronize stream": b.Synchronize(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Destroy: %v, want ErrClosed", name, err)
		}
	}
	if f.count("event") != 2 || f.count("stream") != 1 {
		t.Errorf("%d events and %d streams alive, want 2 and 1", f.count("event"), f.count("stream"))
	}
}

// TestGraph records work, which does nothing then, and replays it twice with the parameters of the recording.
func TestGraph(t *testing.T) { each(t, testGraph) }

func testGraph(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	fill := loadFunction(t, c, "fill")
	p := must[DevicePtr](t)(c.MemAlloc(16))
	back := must[[]byte](t)(c.MemAllocHost(16))
	var a Args
	one := Dim3{1, 1, 1}
	check(t, s.BeginCapture(),
		s.MemsetD8Async(p, 9, 16),
		fill.Launch(one, one, 0, s, a.Ptr(1).Int32(2).Float32(0).Uint64(3).Bytes()),
		s.MemcpyDtoHAsync(back, p))
	a.Reset().Ptr(0xff).Int32(0xff).Float32(1).Uint64(0xff)
	if back[0] == 9 {
		t.Error("recorded work was executed")
	}
	g := must[Graph](t)(s.EndCapture())
	x := must[GraphExec](t)(g.Instantiate())
	check(t, g.Destroy(), x.Launch(s), x.Launch(s), s.Synchronize())
	if back[0] != 9 || back[15] != 9 {
		t.Errorf("after the replay: % x", back)
	}
	replay := []string{
		"graph", "set bytes=16 value=9",
		"launch fill grid=1,1,1 block=1,1,1 shared=0 params=0100000000000000" + "02000000" + "00000000" + "0300000000000000",
		"dtoh bytes=16 pinned=1",
	}
	recorded := []string{"begin capture", "end capture ops=3"}
	wantLog(t, f, slices.Concat(recorded, replay, replay, []string{"synchronize owner=0"})...)
	check(t, x.Destroy())
	_, err := g.Instantiate()
	for name, err := range map[string]error{
		"launch": x.Launch(s), "destroy": x.Destroy(), "graph": g.Destroy(), "instantiate": err,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Destroy: %v, want ErrClosed", name, err)
		}
	}
	if _, err := s.EndCapture(); err == nil {
		t.Error("EndCapture without BeginCapture: no error")
	}
}

// TestOwnerThread calls from many goroutines at once: the fake counts each call that comes from a wrong thread.
func TestOwnerThread(t *testing.T) { each(t, testOwnerThread) }

func testOwnerThread(t *testing.T) {
	f := useFake(t, "current")
	c := newContext(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := c.MakeStream()
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 20 {
				p, err := c.MemAlloc(64)
				if err == nil {
					err = s.MemsetD8Async(p, byte(i), 64)
				}
				if err == nil {
					err = c.Do(func() error {
						here := threadID()
						runtime.Gosched()
						if err := s.MemsetD8Async(p, byte(i), 64); err != nil || threadID() != here {
							return errors.Join(err, errors.New("Do moved to another thread"))
						}
						return s.Synchronize()
					})
				}
				if err == nil {
					err = s.Synchronize()
				}
				if err == nil {
					err = c.MemFree(p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	log := strings.Join(f.log(), "\n")
	owner, aside := strings.Count(log, "synchronize owner=1"), strings.Count(log, "synchronize owner=0")
	if owner != 160 || aside != 160 {
		t.Errorf("%d waits on the owner's thread and %d elsewhere, want 160 each", owner, aside)
	}
}

// TestWaitingHoldsUpNobody: a wait for a stream and a compilation last until a third goroutine has allocated.
func TestWaitingHoldsUpNobody(t *testing.T) { each(t, testWaitingHoldsUpNobody) }

func testWaitingHoldsUpNobody(t *testing.T) {
	t.Setenv("FAKECUDA_UNTIL_ALLOCS", "10")
	useFake(t, "current")
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	var both sync.WaitGroup
	both.Go(func() {
		if err := s.Synchronize(); err != nil {
			t.Error(err)
		}
	})
	both.Go(func() {
		if _, err := c.LoadModule([]byte(testPTX), ModuleOptions{Name: "test.ptx"}); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(20 * time.Millisecond) // both are on their way
	for range 10 {
		check(t, c.MemFree(must[DevicePtr](t)(c.MemAlloc(64))))
	}
	both.Wait()
}

func TestDo(t *testing.T) { each(t, testDo) }

func testDo(t *testing.T) {
	useFake(t, "current")
	c := newContext(t)
	want := errors.New("mine")
	if err := c.Do(func() error { return want }); err != want {
		t.Errorf("found %v, want the function's own error", err)
	}
	if err := c.Do(func() error { return c.Do(func() error { return want }) }); err != want {
		t.Errorf("Do in Do: %v", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "shape" {
				t.Errorf("recovered %v, want the function's own panic", r)
			}
		}()
		c.Do(func() error { panic("shape") })
	}()
	check(t, c.Synchronize())
}

// TestGoexit ends the owner's thread from within: nothing may wait for it.
func TestGoexit(t *testing.T) { each(t, testGoexit) }

func testGoexit(t *testing.T) {
	f := useFake(t, "current")
	c := must[Context](t)(current.MakeContext(0))
	for i, err := range []error{
		c.Do(func() error { runtime.Goexit(); return nil }), c.Do(func() error { return nil }), c.Synchronize(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v, want ErrClosed", i, err)
		}
	}
	check(t, c.Close())
	f.call("fake_reset") // that context is never released
}

// TestClose: Close frees everything that the context has made, a second Close does nothing, and every other call
// returns ErrClosed.
func TestClose(t *testing.T) { each(t, testClose) }

func testClose(t *testing.T) {
	f := useFake(t, "current")
	c := must[Context](t)(current.MakeContext(0))
	s := must[Stream](t)(c.MakeStream())
	e := must[Event](t)(c.MakeEvent(true))
	fill := loadFunction(t, c, "nothing")
	p := must[DevicePtr](t)(c.MemAlloc(100))
	must[[]byte](t)(c.MemAllocHost(100))
	check(t, s.BeginCapture(), s.MemsetD8Async(p, 0, 100))
	x := must[GraphExec](t)(must[Graph](t)(s.EndCapture()).Instantiate())
	kinds := []string{"stream", "event", "module", "device", "pinned", "graph", "exec"}
	for _, kind := range kinds {
		if n := f.count(kind); n != 1 {
			t.Errorf("%s: %d alive before Close, want 1", kind, n)
		}
	}
	check(t, c.Close(), c.Close())
	for _, kind := range append(kinds, "leaks", "retained") {
		if n := f.count(kind); n != 0 {
			t.Errorf("%s: %d after Close, want 0", kind, n)
		}
	}
	_, alloc := c.MemAlloc(1)
	_, load := c.LoadModule([]byte(testPTX), ModuleOptions{})
	_, _, info := c.MemGetInfo()
	for name, err := range map[string]error{
		"alloc": alloc, "load": load, "info": info, "free": c.MemFree(p),
		"launch": fill.Launch(Dim3{1, 1, 1}, Dim3{1, 1, 1}, 0, s, nil), "copy": s.MemcpyHtoDAsync(p, []byte{1}),
		"record": e.Record(s), "graph": x.Launch(s), "wait": s.Synchronize(), "context": c.Synchronize(),
		"do": c.Do(func() error { t.Error("Do ran after Close"); return nil }), "stream": s.Destroy(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

// TestCloseInDo: the thread is the owner's, so nothing may wait for it.
func TestCloseInDo(t *testing.T) { each(t, testCloseInDo) }

func testCloseInDo(t *testing.T) {
	useFake(t, "current")
	c := must[Context](t)(current.MakeContext(0))
	err := c.Do(func() error {
		if err := c.Close(); err != nil {
			return err
		}
		_, err := c.MemAlloc(1)
		return err
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("found %v, want ErrClosed", err)
	}
}

// TestCloseWhileInUse closes under goroutines that call: each call works or says that it is closed.
func TestCloseWhileInUse(t *testing.T) { each(t, testCloseWhileInUse) }

func testCloseWhileInUse(t *testing.T) {
	useFake(t, "current")
	c := must[Context](t)(current.MakeContext(0))
	s := must[Stream](t)(c.MakeStream())
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for {
				var err error
				if i%2 == 0 {
					err = s.Synchronize()
				} else {
					_, err = c.MemAlloc(64)
				}
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	check(t, c.Close())
	all.Wait()
}
