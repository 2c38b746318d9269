package safetensors

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// FuzzHeader checks what readers rely on for every accepted header: tensors are inside the data, fill it, and have the
// size of their shape and dtype. The header that the writer makes for the same tensors must be accepted too.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{`{}`, one("F32", "[2,3]", "[0,24]"), two("[4,8]", "[0,4]"), two("[0,4]", "[2,6]"),
		`{"__metadata__":{"a":"b"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := parseHeader(text)
		if err != nil {
			return
		}
		var sum int64
		var entries []Entry
		for name, e := range h.entries {
			size := e.end - e.begin
			if e.begin < 0 || size < 0 || e.end > h.dataBytes ||
				size != int64(tensor.Elements(e.shape))*int64(e.dtype.SizeBytes()) {
				t.Errorf("%q: %+v in %d bytes", name, e, h.dataBytes)
			}
			sum += size
			entries = append(entries, Entry{Name: name, DType: e.dtype, Shape: e.shape})
		}
		if sum != h.dataBytes {
			t.Errorf("tensors of %d bytes in %d", sum, h.dataBytes)
		}
		again, err := encodeHeader(h.metadata, entries)
		if err != nil {
			t.Fatal(err)
		}
		h2, err := parseHeader(again[8:])
		if err != nil || h2.dataBytes != h.dataBytes || !maps.Equal(h2.metadata, h.metadata) ||
			!slices.Equal(slices.Sorted(maps.Keys(h2.entries)), slices.Sorted(maps.Keys(h.entries))) {
			t.Errorf("the writer's header %s: %v", again[8:], err)
		}
	})
}

// FuzzFile reads the headers of arbitrary files. A header must never be longer than the file.
func FuzzFile(f *testing.F) {
	f.Add(encode(`{}`, 0))
	f.Add(encode(one("F32", "[2]", "[0,8]"), 8))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Add([]byte("GGUF"))
	f.Fuzz(func(t *testing.T, file []byte) {
		text, err := readHeader(t.Context(), bytes.NewReader(file), "x", int64(len(file)), maxHeaderBytes)
		if err == nil && len(text) > len(file)-8 {
			t.Errorf("header of %d bytes in a file of %d", len(text), len(file))
		}
	})
}

// FuzzIndex checks that every accepted shard is in the folder of the index.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"weight_map":{"a":"m-1.safetensors"}}`, `{"weight_map":{"a":"../m.safetensors"}}`,
		`{"metadata":{"total_size":1},"weight_map":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		weightMap, err := parseIndex(text)
		if err != nil {
			return
		}
		for name, shard := range weightMap {
			if filepath.Base(shard) != shard || filepath.Dir(filepath.Join("dir", shard)) != "dir" {
				t.Errorf("%q is in %q", name, shard)
			}
		}
	})
}
