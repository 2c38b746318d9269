package cu_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	ebitengine "github.com/ebitengine/purego"

	. "github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/cu/driver"
	"github.com/kleinbild/kleinbild/kernels/cu/purego"
)

// bindings are the packages that reach the driver: each test runs with all of them.
var bindings = []func(path string) *driver.Driver{purego.At}

// at is the binding under test, current the driver that it has found.
var (
	at      func(path string) *driver.Driver
	current Driver
)

// each runs a test or a benchmark with every binding, on the machine's driver until it chooses another.
func each[T interface {
	testing.TB
	Run(string, func(T)) bool
}](t T, test func(T)) {
	for _, b := range bindings {
		machine := b(driver.LibraryName)
		t.Run(machine.Name(), func(t T) {
			at, current = b, machine
			test(t)
		})
	}
}

// fakeDriver is testdata/fakecuda, loaded in the driver's place.
type fakeDriver struct {
	t       testing.TB
	library uintptr
}

var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "fakecuda"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// builds compiles each variant of the fake once.
var builds = map[string]func() (string, error){
	"current": sync.OnceValues(func() (string, error) { return compile("current") }),
	"old":     sync.OnceValues(func() (string, error) { return compile("old", "-DOLD") }),
}

func compile(name string, flags ...string) (string, error) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, name+".so")
	out, err := exec.Command(compiler, append(flags, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", path,
		"testdata/fakecuda/libcuda.c", "-lpthread")...).CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
}

// useFake replaces the driver for one test; at its end nothing may have leaked or been misused.
func useFake(t testing.TB, variant string) *fakeDriver {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the fake driver is built on Linux only")
	}
	path, err := builds[variant]()
	if err != nil {
		if _, missing := exec.LookPath("cc"); missing != nil {
			t.Skip("no C compiler (cc) to build the fake driver with: the driver binding is not tested")
		}
		t.Fatal(err)
	}
	useDriver(t, path)
	library, err := openFake(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeDriver{t, library}
	f.call("fake_reset")
	t.Cleanup(func() {
		for _, what := range []string{"violations", "leaks", "retained", "holders"} {
			if n := f.count(what); n != 0 {
				t.Errorf("%s: %d, want 0; the driver's log:\n%s", what, n, strings.Join(f.log(), "\n"))
			}
		}
	})
	return f
}

// useDriver looks for the driver at path until the end of the test.
func useDriver(t testing.TB, path string) {
	machine := current
	current = at(path)
	t.Cleanup(func() { current = machine })
}

//go:uintptrescapes
func (f *fakeDriver) call(name string, args ...uintptr) uintptr {
	f.t.Helper()
	entry, err := findFake(f.library, name)
	if err != nil {
		f.t.Fatal(err)
	}
	r, _, _ := ebitengine.SyscallN(entry, args...)
	return r
}

// count returns one of the fake's counters, or how many objects of a kind are alive.
func (f *fakeDriver) count(what string) int {
	name := append([]byte(what), 0)
	return int(int32(f.call("fake_count", uintptr(unsafe.Pointer(&name[0])))))
}

// log returns what the fake was asked to do.
func (f *fakeDriver) log() []string {
	address := f.call("fake_log")
	log := *(**byte)(unsafe.Pointer(&address))
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(log), n)) != 0 {
		n++
	}
	text := string(unsafe.Slice(log, n))
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// newContext makes a context on device 0 and closes it at the end.
func newContext(t testing.TB) Context {
	t.Helper()
	c, err := current.MakeContext(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// must returns a value that came without an error.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// check fails the test on any error.
func check(t testing.TB, errs ...error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// testPTX declares kernels; the fake reads their names and parameters.
const testPTX = `// made for tests
.version 7.0
.target sm_80
.address_size 64
.visible .entry fill(
	.param .u64 fill_0,
	.param .u32 fill_1,
	.param .f32 fill_2,
	.param .u64 fill_3
)
{ ret; }
.visible .entry tiled(
	.param .u32 tiled_0,
	.param .align 64 .b8 tiled_1[128],
	.param .u64 tiled_2
)
{ ret; }
.visible .entry nothing()
{ ret; }
`

// loadFunction loads testPTX and finds a kernel in it.
func loadFunction(t testing.TB, c Context, name string) Function {
	t.Helper()
	m := must[Module](t)(c.LoadModule([]byte(testPTX), ModuleOptions{Name: "test.ptx"}))
	return must[Function](t)(m.Function(name))
}
