package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// sample returns a small file with two tensors.
func sample() []byte {
	values := make([]float32, 128)
	for i := range values {
		values[i] = float32(i) - 64
	}
	return gguftest.Bytes([]gguftest.Pair{
		{Key: "general.architecture", Value: "flux"}, {Key: "general.quantization_version", Value: uint32(2)},
		{Key: "list", Value: []string{"a", "", "bcd"}}, {Key: "types", Value: []int32{1, -3, 5}},
		{Key: "eps", Value: float32(0.5)}, {Key: "yes", Value: true},
	}, []gguftest.Tensor{
		{Name: "w", Shape: []int{2, 64}, Kind: gguftest.Q8_0, Data: gguftest.Quantise8(values)},
		{Name: "n", Shape: []int{3}, Kind: gguftest.F32, Data: gguftest.Floats([]float32{1, 2, 3})},
		{Name: "old", Shape: []int{256}, Kind: 16, Data: make([]byte, 66)},
	})
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, sample(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if have, want := f.Names(), []string{"n", "old", "w"}; !slices.Equal(have, want) {
		t.Errorf("names %v, want %v", have, want)
	}
	w, err := f.Tensor("w")
	if err != nil || w.DType != tensor.Q8_0 || !slices.Equal(w.Shape, []int{2, 64}) || len(w.Data) != 136 {
		t.Errorf("w: %v %v of %d bytes, %v", w.DType, w.Shape, len(w.Data), err)
	}
	for i, v := range w.Float32s() {
		if want := float32(i) - 64; v-want > 0.26 || want-v > 0.26 { // half a step of 64/127
			t.Fatalf("w: value %d is %v, want about %v", i, v, want)
		}
	}
	if n, err := f.Tensor("n"); err != nil || !slices.Equal(n.Float32s(), []float32{1, 2, 3}) {
		t.Errorf("n: %v, %v", n, err)
	}
	var unsupported *UnsupportedError
	if _, err := f.Tensor("old"); !errors.As(err, &unsupported) || unsupported.Kind != "IQ2_XXS" {
		t.Errorf("old: %v, want an error that names IQ2_XXS", err)
	}
	if _, err := f.Tensor("x"); !errors.Is(err, tensor.ErrMissing) {
		t.Errorf("x: %v, want an error for a missing tensor", err)
	}
	if text, ok := f.Text("general.architecture"); !ok || text != "flux" {
		t.Errorf("architecture %q", text)
	}
	for key, want := range map[string]float64{"general.quantization_version": 2, "eps": 0.5, "yes": 1} {
		if n, ok := f.Number(key); !ok || n != want {
			t.Errorf("%s: %v, want %v", key, n, want)
		}
	}
	if list, err := f.Texts("list"); err != nil || !slices.Equal(list, []string{"a", "", "bcd"}) {
		t.Errorf("list: %q, %v", list, err)
	}
	if list, err := f.Numbers("types"); err != nil || !slices.Equal(list, []float64{1, -3, 5}) {
		t.Errorf("types: %v, %v", list, err)
	}
	if list, err := f.Texts("types"); list != nil || err != nil {
		t.Errorf("types as texts: %q, %v, want none", list, err)
	}
}

// TestBudget reads a damaged file with a long header again and again, as a search does that meets many of them. Once
// the budget is spent, no header is read.
func TestBudget(t *testing.T) {
	list := make([]string, 100_000)
	file := gguftest.Bytes([]gguftest.Pair{{Key: "a", Value: list}, {Key: "a", Value: list}}, nil)
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := mapped.WithBudget(t.Context(), 2<<20)
	if _, err := Open(ctx, path); err == nil || errors.Is(err, mapped.ErrBudget) {
		t.Fatalf("error %v, want one that the file is damaged", err)
	}
	if _, err := Open(ctx, path); !errors.Is(err, mapped.ErrBudget) {
		t.Errorf("error %v, want one that the budget is spent", err)
	}
	left := mapped.WithBudget(t.Context(), 0)
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(left, path); !errors.Is(err, mapped.ErrBudget) {
		t.Errorf("without a budget: error %v, want that nothing was read", err)
	}
}

// TestCutShort reads the header of a file that is shorter than its size was a moment ago. What is missing must not be
// taken for zeros.
func TestCutShort(t *testing.T) {
	whole := sample()
	cut := bytes.NewReader(whole[:60])
	_, err := (&File{}).reader("x.gguf")(t.Context(), cut, int64(len(whole)))
	if err == nil || !strings.Contains(err.Error(), "x.gguf: byte 0: found 60 bytes, want") {
		t.Errorf("error %v, want one that bytes are missing", err)
	}
}

// TestDamaged changes or cuts a good file. Each row must give an error with the given words.
func TestDamaged(t *testing.T) {
	good := sample()
	at := func(text string) int { // the offset behind the first occurrence of a string of the file
		return bytes.Index(good, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)) + 8 + len(text)
	}
	put := func(offset int, bytes ...byte) []byte {
		file := slices.Clone(good)
		copy(file[offset:], bytes)
		return file
	}
	huge := []byte{0, 0, 0, 0, 0, 0, 0, 0x80} // 2^63
	w, n := at("w"), at("n")
	for _, row := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "found 0 bytes"},
		{"magic", put(0, 'X'), `"XGUF"`},
		{"version 1", put(4, 1), "version 1"},
		{"big endian", put(4, 0, 0, 0, 3), "is in big-endian order"},
		{"tensors", put(8, huge...), "9223372036854775808 tensors"},
		{"keys", put(16, huge...), "9223372036854775808 keys"},
		{"key", put(24, huge...), "9223372036854775808 bytes"},
		{"type of a value", put(at("yes"), 99), "type 99"},
		{"length of an array", put(at("list")+8, huge...), "want at most 1048576"},
		{"length of numbers", put(at("types")+8, huge...), "9223372036854775808 elements"},
		{"array of arrays", put(at("types")+4, 9), "array of type 9"},
		{"key twice", bytes.Replace(good, []byte("yes"), []byte("eps"), 1), `"eps" occurs twice`},
		{"dimensions", put(w, 5), "5 dimensions"},
		{"dimension of 2^63", put(w+4, huge...), "dimension 0"},
		{"dimension of 0", put(w+4, 0), "dimension 0 is 0"},
		{"product of dimensions", put(w+8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1), "dimension 1"},
		{"row of 33 values", put(w+4, 33), "want a multiple of 32"},
		{"offset of 2^63", put(w+24, huge...), "offset 9223372036854775808"},
		{"offset that is not aligned", put(n+16, 161), "multiple of 32"},
		{"overlap", put(n+16, 128), "inside \"w\""},
		{"offset past the end", put(n+16, 0, 0, 1), "incomplete"},
		{"cut data", good[:len(good)-128], "incomplete"},
		{"cut header", good[:100], "incomplete"},
		{"tensor twice", bytes.Replace(good, []byte("\x01\x00\x00\x00\x00\x00\x00\x00n"),
			[]byte("\x01\x00\x00\x00\x00\x00\x00\x00w"), 1), "occurs twice"},
		{"a name of two lines", gguftest.Bytes(nil, []gguftest.Tensor{{Name: "a\nb", Data: make([]byte, 4)}}),
			`the name "a\nb", want printable characters`},
		{"alignment", gguftest.Bytes([]gguftest.Pair{{Key: "general.alignment", Value: uint32(24)}}, nil), "power of two"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := FromBytes("x.gguf", row.file)
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "x.gguf") {
				t.Errorf("error %v, want one with %q and the file's name", err, row.want)
			}
		})
	}
	if _, err := FromBytes("x.gguf", good); err != nil {
		t.Errorf("the good file: %v", err)
	}
}

// FuzzFile checks that damaged files give errors, never a panic, and that a file that opens can be read.
func FuzzFile(f *testing.F) {
	f.Add(sample())
	f.Add(gguftest.Bytes(nil, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := FromBytes("x.gguf", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		for _, name := range file.Names() {
			if w, err := file.Tensor(name); err == nil {
				w.Float32s()
			}
		}
		for key := range file.metadata {
			_, textErr := file.Texts(key)
			_, numberErr := file.Numbers(key)
			if err := errors.Join(textErr, numberErr); err != nil {
				t.Error(err)
			}
		}
		file.Close()
	})
}

// BenchmarkOpen opens a file with a vocabulary and merges like Qwen3's.
func BenchmarkOpen(b *testing.B) {
	tokens, merges := make([]string, 151_936), make([]string, 151_387)
	for i := range tokens {
		tokens[i] = strings.Repeat("a", i%13+1)
	}
	for i := range merges {
		merges[i] = tokens[i] + " b"
	}
	file := gguftest.Bytes([]gguftest.Pair{
		{Key: "tokenizer.ggml.tokens", Value: tokens}, {Key: "tokenizer.ggml.merges", Value: merges},
		{Key: "tokenizer.ggml.token_type", Value: make([]int32, len(tokens))},
	}, nil)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := FromBytes("x.gguf", file); err != nil {
			b.Fatal(err)
		}
	}
}
