package cu_test

import (
	"testing"

	. "github.com/kleinbild/kleinbild/kernels/cu"
)

// queueing is everything that a step of the model does, ready to be called again and again.
func queueing(t testing.TB, f *fakeDriver) (Context, map[string]func() error) {
	c := newContext(t)
	s := must[Stream](t)(c.MakeStream())
	fill, tiled := loadFunction(t, c, "fill"), loadFunction(t, c, "tiled")
	e := must[Event](t)(c.MakeEvent(false))
	p := must[DevicePtr](t)(c.MemAlloc(64))
	b := must[[]byte](t)(c.MemAllocHost(64))
	check(t, s.BeginCapture())
	x := must[GraphExec](t)(must[Graph](t)(s.EndCapture()).Instantiate())
	// The way to the driver and back is what counts, not the fake's bookkeeping.
	f.call("fake_idle", 1)
	t.Cleanup(func() { f.call("fake_idle", 0) })
	var a Args
	var m TensorMap
	return c, map[string]func() error{
		"launch": func() error {
			a.Reset().Ptr(p).Int32(1).Float32(2).Uint64(3)
			return fill.Launch(Dim3{72, 36, 1}, Dim3{256, 1, 1}, 49152, s, a.Bytes())
		},
		"launch with a structure": func() error {
			a.Reset().Uint32(1).TensorMap(&m).Ptr(p)
			return tiled.Launch(Dim3{72, 36, 1}, Dim3{256, 1, 1}, 49152, s, a.Bytes())
		},
		"htod":   func() error { return s.MemcpyHtoDAsync(p, b) },
		"dtoh":   func() error { return s.MemcpyDtoHAsync(b, p) },
		"dtod":   func() error { return s.MemcpyDtoDAsync(p, p+32, 32) },
		"memset": func() error { return s.MemsetD8Async(p, 0, 64) },
		"record": func() error { return e.Record(s) },
		"wait":   func() error { return s.Wait(e) },
		"graph":  func() error { return x.Launch(s) },
	}
}

// TestQueueingAllocatesNothing: a step of hundreds of launches leaves the garbage collector asleep.
func TestQueueingAllocatesNothing(t *testing.T) { each(t, testQueueingAllocatesNothing) }

func testQueueingAllocatesNothing(t *testing.T) {
	c, calls := queueing(t, useFake(t, "current"))
	for name, f := range calls {
		check(t, c.Do(func() error {
			if n := testing.AllocsPerRun(200, func() {
				if err := f(); err != nil {
					t.Error(err)
				}
			}); n != 0 {
				t.Errorf("%s: %g allocations, want 0", name, n)
			}
			return nil
		}))
	}
}

// BenchmarkQueueing measures this side of the driver: packing, checks and the call of an empty C function.
func BenchmarkQueueing(b *testing.B) { each(b, benchmarkQueueing) }

func benchmarkQueueing(b *testing.B) {
	c, calls := queueing(b, useFake(b, "current"))
	for _, name := range []string{"launch", "launch with a structure", "memset", "record"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			check(b, c.Do(func() error {
				for b.Loop() {
					if err := calls[name](); err != nil {
						return err
					}
				}
				return nil
			}))
		})
	}
	b.Run("launch from another goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, calls["launch"]())
		}
	})
}
