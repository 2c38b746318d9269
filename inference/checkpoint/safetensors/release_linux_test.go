package safetensors

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestRelease checks that Release removes the pages of a large tensor from the resident memory, and that the tensor has
// the same values afterwards.
func TestRelease(t *testing.T) {
	const values = 8 << 20
	path := filepath.Join(t.TempDir(), "x.safetensors")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(dst []byte, first int) error {
		for i := range dst {
			dst[i] = byte((first + i) % 251)
		}
		return nil
	}
	err = Write(context.Background(), out, nil, []Entry{{Name: "w", DType: tensor.U8, Shape: []int{values}, Fill: fill}},
		nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := f.Tensor("w")
	if err != nil {
		t.Fatal(err)
	}
	sum := func() (n int) {
		for _, v := range w.Data {
			n += int(v)
		}
		return n
	}
	before := sum()
	read := residentFilePages(t)
	f.Release()
	if released := residentFilePages(t); read-released < values/2/1024 {
		t.Errorf("resident file pages: %d kB after reading, %d kB after Release, want %d kB less",
			read, released, values/1024)
	}
	if after := sum(); after != before {
		t.Errorf("sum after Release %d, want %d", after, before)
	}
}

// residentFilePages returns the resident memory of mapped files (RssFile) in kB.
func residentFilePages(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssFile:"); ok {
			if _, err := fmt.Sscan(rest, &kB); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kB
}
