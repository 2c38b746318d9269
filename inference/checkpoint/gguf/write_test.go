package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// numbered is a Fill whose blocks of n bytes begin with their own number.
func numbered(n int) func([]byte, int) error {
	return func(dst []byte, first int) error {
		clear(dst)
		for i := 0; i < len(dst); i += n {
			binary.LittleEndian.PutUint16(dst[i:], uint16(first+i/n))
		}
		return nil
	}
}

var writtenEntries = []Entry{
	{Name: "scale", DType: tensor.F32, Shape: []int{3}, Fill: numbered(4)},
	{Name: "w", DType: tensor.Q4_K, Shape: []int{40, 512}, Fill: numbered(144)},
	{Name: "large", DType: tensor.Q8_0, Shape: []int{700, 2048}, Fill: numbered(34)}, // more than a chunk
	{Name: "wide", DType: tensor.BF16, Shape: []int{5, 7}, Fill: numbered(2)},
}

var writtenMetadata = []Pair{
	{"general.architecture", "flux"},
	{"general.file_type", uint32(14)},
	{"eps", float32(1e-6)},
	{"tokens", []string{"a", "größe", ""}},
	{"types", []int32{1, 3, -5}},
}

// TestWrite reads a written file, and compares it with the file that gguftest makes.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	written := int64(0)
	if err := Write(t.Context(), file, writtenMetadata, writtenEntries, func(n int64) { written += n }); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var same []gguftest.Tensor
	size := int64(0)
	for _, e := range writtenEntries {
		have, err := f.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, e.SizeBytes())
		if err := e.Fill(want, 0); err != nil {
			t.Fatal(err)
		}
		if have.DType != e.DType || !slices.Equal(have.Shape, e.Shape) || !bytes.Equal(have.Data, want) {
			t.Errorf("%s: %v %v with other data, want %v %v", e.Name, have.DType, have.Shape, e.DType, e.Shape)
		}
		size += e.SizeBytes()
		kind := map[tensor.DType]uint32{tensor.F32: 0, tensor.Q4_K: 12, tensor.Q8_0: 8, tensor.BF16: 30}[e.DType]
		same = append(same, gguftest.Tensor{Name: e.Name, Shape: e.Shape, Kind: kind, Data: want})
	}
	if written != size {
		t.Errorf("progress was told of %d bytes, want %d", written, size)
	}
	var pairs []gguftest.Pair
	for _, p := range writtenMetadata {
		pairs = append(pairs, gguftest.Pair(p))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := gguftest.Bytes(pairs, same); !bytes.Equal(whole, want) {
		t.Errorf("the file has %d bytes, want the %d bytes that gguftest writes", len(whole), len(want))
	}
	tokens, err := f.Texts("tokens")
	if err != nil || !slices.Equal(tokens, []string{"a", "größe", ""}) {
		t.Errorf("tokens %q, %v", tokens, err)
	}
	if n, ok := f.Number("eps"); !ok || float32(n) != 1e-6 {
		t.Errorf("eps is %v", n)
	}
}

func TestWriteErrors(t *testing.T) {
	fill := numbered(2)
	for _, row := range []struct {
		name    string
		entries []Entry
		pairs   []Pair
		want    string
	}{
		{"name twice", []Entry{{"a", tensor.F16, []int{1}, fill}, {"a", tensor.F16, []int{1}, fill}}, nil, "a: duplicate"},
		{"ragged row", []Entry{{"a", tensor.Q4_0, []int{2, 33}, fill}}, nil, "a: Q4_0 [2 33]"},
		{"five dimensions", []Entry{{"a", tensor.F16, []int{1, 1, 1, 1, 1}, fill}}, nil, "a: F16"},
		{"no values", []Entry{{"a", tensor.F16, []int{0}, fill}}, nil, "a: F16 [0]"},
		{"another format", []Entry{{"a", tensor.F8E4M3, []int{4}, fill}}, nil, "a: F8_E4M3"},
		{"another value", nil, []Pair{{"k", math.Pi}}, "k: want a string"},
		{
			"fill", []Entry{{"a", tensor.F16, []int{4}, func([]byte, int) error { return errors.New("no value") }}}, nil,
			"write a: no value",
		},
	} {
		file, err := os.Create(filepath.Join(t.TempDir(), "x.gguf"))
		if err != nil {
			t.Fatal(err)
		}
		err = Write(t.Context(), file, row.pairs, row.entries, nil)
		if file.Close(); err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "gguf: ") {
			t.Errorf("%s: error %v, want one of gguf with %q", row.name, err, row.want)
		}
	}
}
