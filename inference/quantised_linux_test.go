package inference

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// residentMemory returns the resident memory of this process in kB: that of mapped files, and all others.
func residentMemory(t *testing.T) (files, other int) {
	t.Helper()
	status, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		for key, to := range map[string]*int{"RssFile:": &files, "RssAnon:": &other} {
			if rest, ok := strings.CutPrefix(lines.Text(), key); ok {
				if _, err := fmt.Sscan(rest, to); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return files, other
}

// TestQuantisedMemory computes a velocity with a transformer of 100 MB in bfloat16, and with the same one in Q8_0. The
// pages of the weights' file that become resident must be less than 60 % in Q8_0, and nothing may hold the widened
// weights.
func TestQuantisedMemory(t *testing.T) {
	dir := t.TempDir()
	spec := synthetic.TinyDistilled()
	spec.Transformer = synthetic.NewTransformer(6, 1, 3, 3*64)
	transformer, _, _ := spec.SingleFiles()
	bf16, q8 := filepath.Join(dir, "bf16.safetensors"), filepath.Join(dir, "q8_0.gguf")
	out, err := os.Create(bf16)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(t.Context(), out, nil, transformer, nil); err != nil {
		t.Fatal(err)
	}
	ggufTransformer(t, q8, bf16, false)
	measure := func(path string) (files, other int) {
		e, err := Open(t.Context(), Options{Model: withTransformer(t, path), Device: DeviceCPU, Precision: Float32})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		files, other = residentMemory(t)
		velocityOf(t, e, 64)
		filesAfter, otherAfter := residentMemory(t)
		return filesAfter - files, otherAfter - other
	}
	measure(bf16) // the working memory of products is kept for the next ones
	plain, _ := measure(bf16)
	quantised, other := measure(q8)
	t.Logf("%d kB of the file for bfloat16, %d kB for Q8_0, and %d kB of other memory", plain, quantised, other)
	info, err := os.Stat(bf16)
	if err != nil {
		t.Fatal(err)
	}
	if size := int(info.Size() / 1024); plain < size/2 {
		t.Fatalf("%d kB of a file of %d kB became resident, want nearly all: the test does not measure", plain, size)
	}
	if quantised*100 > plain*60 {
		t.Errorf("%d kB became resident for Q8_0, want less than 60 %% of the %d kB for bfloat16", quantised, plain)
	}
	if other > plain/4 {
		t.Errorf("%d kB of other memory for Q8_0, want less than a quarter of the weights", other)
	}
}
