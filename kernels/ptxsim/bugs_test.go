package ptxsim

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// TestBugs runs each text of testdata/bugs twice. As it is, it must fault with the message and at the place that its
// head gives. Repaired (without the lines that end in "//-", and with those that begin with "//+"), it must not fault.
func TestBugs(t *testing.T) {
	files, err := filepath.Glob("testdata/bugs/*.ptx")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d texts (%v), want at least 15", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".ptx")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		head := func(key string) string {
			return regexp.MustCompile(`(?m)^// ` + key + `: (.*)$`).FindStringSubmatch(text)[1]
		}
		threads, _ := strconv.Atoi(head("threads"))
		t.Run(name, func(t *testing.T) {
			err := runBug(t, name, text, threads)
			var fault *Fault
			if !errors.As(err, &fault) || !errors.Is(err, cu.ErrContextLost) {
				t.Fatalf("%v, want a fault", err)
			}
			if fault.Kernel != name || fault.Source != head("place") || fault.Instruction == "" ||
				!strings.Contains(fault.Message, head("want")) {
				t.Errorf("%v: want %q at %s", fault, head("want"), head("place"))
			}
		})
		t.Run(name+"/repaired", func(t *testing.T) {
			good := regexp.MustCompile(`(?m)^.*//-$`).ReplaceAllString(text, "")
			good = strings.ReplaceAll(good, "//+ ", "")
			if good == text {
				t.Fatal("the text has no repair")
			}
			if err := runBug(t, name, good, threads); err != nil {
				t.Error(err)
			}
		})
	}
}

// runBug launches a kernel with pointers to 1024 bytes that have values, to 1024 that have none, and to freed memory,
// and without dynamic shared memory.
func runBug(t *testing.T, name, text string, threads int) error {
	d := Device{Budget: 1 << 16}
	if strings.Contains(text, "sm_90") {
		d.Major = 9
	}
	r := newRig(t, d)
	m, err := r.LoadModule([]byte(text), cu.ModuleOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	in, out, freed := r.alloc(1024, make([]byte, 1024)), r.alloc(1024, nil), r.alloc(1024, make([]byte, 1024))
	if err := r.MemFree(freed); err != nil {
		t.Fatal(err)
	}
	args := new(cu.Args).Ptr(in).Ptr(out).Ptr(freed)
	if err := r.function(m, name).Launch(dim(1), dim(threads), 0, r.stream, args.Bytes()); err != nil {
		t.Fatal(err)
	}
	return r.stream.Synchronize()
}
