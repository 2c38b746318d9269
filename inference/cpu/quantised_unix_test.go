//go:build unix

package cpu_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestQuantisedInTwoRuns stops a run in the middle of a weight, whose file ends there. When the file is whole again,
// the next run must quantise all of it.
func TestQuantisedInTwoRuns(t *testing.T) {
	source := severalGrains("w")
	fresh, ws := quantising(t, nil, source)
	fresh.Begin(t.Context())
	want := productWith(fresh, ws[0])
	if err := fresh.Sync(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "w"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write := func() {
		t.Helper()
		if _, err := file.WriteAt(source.Data, 0); err != nil {
			t.Fatal(err)
		}
	}
	write()
	mapped, err := unix.Mmap(int(file.Fd()), 0, len(source.Data), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	read := source
	read.Data = mapped
	released := 0
	b, ws := quantising(t, func([]byte) { released++ }, read)
	if err := file.Truncate(int64(len(mapped) / 2)); err != nil {
		t.Fatal(err)
	}
	b.Begin(t.Context())
	productWith(b, ws[0])
	var fault *tensor.Fault
	if err := b.Sync(); !errors.As(err, &fault) || released != 0 {
		t.Fatalf("%v, released %d times, want a fault in the middle", err, released)
	}
	write()
	b.Begin(t.Context())
	have := productWith(b, ws[0])
	if err := b.Sync(); err != nil || !slices.Equal(have, want) || released != 1 {
		t.Errorf("%v, released %d times, the product of a fresh backend: %v", err, released, slices.Equal(have, want))
	}
}
