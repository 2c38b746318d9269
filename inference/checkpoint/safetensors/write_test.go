package safetensors

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// counting is a Fill for U32 tensors: each value is its index.
func counting(dst []byte, first int) error {
	for i := 0; i < len(dst); i += 4 {
		binary.LittleEndian.PutUint32(dst[i:], uint32(first+i/4))
	}
	return nil
}

func TestWriteReadsBack(t *testing.T) {
	// Sizes around a multiple of the chunk size, which is 2^18 values of 4 bytes.
	sizes := map[string]int{"none": 0, "one": 1, "chunk-1": 1<<18 - 1, "chunk": 1 << 18, "chunk+1": 1<<18 + 1,
		"<&>\"é": 3<<18 + 5}
	var entries []Entry
	var total, reported int64
	for name, n := range sizes {
		entries = append(entries, Entry{name, tensor.U32, []int{n}, counting})
		total += int64(4 * n)
	}
	entries = append(entries, Entry{"byte", tensor.U8, nil, func(dst []byte, _ int) error { dst[0] = 7; return nil }})
	path := filepath.Join(t.TempDir(), "x.safetensors")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = Write(t.Context(), w, map[string]string{"format": "pt"}, entries, func(n int64) { reported += n })
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if reported != total+1 {
		t.Errorf("%d bytes reported, want %d", reported, total+1)
	}
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata()["format"] != "pt" || len(f.Header())%8 != 0 {
		t.Errorf("metadata %v, header of %d bytes", f.Metadata(), len(f.Header()))
	}
	for name, n := range sizes {
		x, err := f.Tensor(name)
		if err != nil || len(x.Data) != 4*n {
			t.Fatalf("%q: %d bytes, want %d: %v", name, len(x.Data), 4*n, err)
		}
		for i := range n {
			if v := binary.LittleEndian.Uint32(x.Data[4*i:]); v != uint32(i) {
				t.Fatalf("%q: value %d is %d", name, i, v)
			}
		}
	}
}

func TestWriteFails(t *testing.T) {
	full := errors.New("out of values")
	entry := func(name string, fill func([]byte, int) error) Entry {
		return Entry{name, tensor.U32, []int{1 << 20}, fill}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name    string
		ctx     context.Context
		entries []Entry
		want    string
	}{
		{"fill fails", t.Context(), []Entry{entry("a", func([]byte, int) error { return full })}, "write a: out of values"},
		{"name twice", t.Context(), []Entry{entry("a", counting), entry("a", counting)}, "write a: duplicate name"},
		{"metadata's name", t.Context(), []Entry{entry("__metadata__", counting)}, "write __metadata__: duplicate name"},
		{"too large", t.Context(), []Entry{{"a", tensor.U32, []int{1 << 40, 1 << 40}, counting}}, "larger than any file"},
		{"cancelled", cancelled, []Entry{entry("a", counting)}, "context canceled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, err := os.Create(filepath.Join(t.TempDir(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := Write(row.ctx, w, nil, row.entries, nil); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}
