package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// encode returns a file with the given header and as many bytes of data.
func encode(header string, data int) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(file, header...)
	for i := range data {
		file = append(file, byte(i))
	}
	return file
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// one returns the header of a file with a single tensor "a".
func one(dtype, shape, offsets string) string {
	return fmt.Sprintf(`{"a":{"dtype":%q,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
}

// two returns the header of tensors "a" and "b" of 4 bytes each, at the given offsets.
func two(a, b string) string {
	return fmt.Sprintf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":%s},`+
		`"b":{"dtype":"F32","shape":[1],"data_offsets":%s}}`, a, b)
}

func TestOpenAccepts(t *testing.T) {
	for _, row := range []struct {
		name, header string
		data         int
		names        []string
	}{
		{"no tensors", `{}`, 0, nil},
		{"padded with spaces", `{}      `, 0, nil},
		{"metadata", `{"__metadata__":{"format":"pt"},` + one("F32", "[2]", "[0,8]")[1:], 8, []string{"a"}},
		{"a scalar", one("I64", "[]", "[0,8]"), 8, []string{"a"}},
		{"no elements", one("F32", "[0,7]", "[0,0]"), 0, []string{"a"}},
		{"data in another order than names", two("[4,8]", "[0,4]"), 8, []string{"a", "b"}},
		{"an empty tensor between", `{"e":{"dtype":"U8","shape":[0],"data_offsets":[4,4]},` + two("[0,4]", "[4,8]")[1:], 8,
			[]string{"a", "b", "e"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, err := Open(t.Context(), write(t, "x.safetensors", encode(row.header, row.data)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if !slices.Equal(f.Names(), row.names) {
				t.Errorf("names %v, want %v", f.Names(), row.names)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, row := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty file", nil, "an empty file, want a safetensors file"},
		{"no length", []byte("1234567"), "7 bytes, want at least 8"},
		{"GGUF", []byte("GGUF\x03\x00\x00\x00"), "a GGUF file"},
		{"Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:"), "a Git LFS pointer"},
		{"web page", []byte("<!DOCTYPE html><html>"), "a web page"},
		{"pickle", []byte("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P"), "a Python pickle"},
		{"zip", []byte("PK\x03\x04........"), "a zip archive"},
		{"header over 8 MB", encode("", 8)[8:], "header of 506097522914230528 bytes, want at most 8388608"},
		{"header cut short", encode(one("F32", "[2]", "[0,8]"), 0)[:40],
			"40 bytes, want at least 62 for the header: the file is incomplete"},
		{"data cut short", encode(one("F32", "[2]", "[0,8]"), 5), "67 bytes, want 70: the file is incomplete"},
		{"bytes after the data", encode(one("F32", "[2]", "[0,8]"), 9), "71 bytes, want 70: bytes after the last tensor"},

		{"header of no bytes", encode("", 0), "header does not begin with '{'"},
		{"header of spaces", encode("  {}", 0), "header does not begin with '{'"},
		{"not UTF-8", encode("{\"\xff\":1}", 0), "header: not UTF-8"},
		{"not JSON", encode(`{"a":}`, 0), "header: byte 6: invalid character '}'"},
		{"trailing comma", encode(`{"a":1,}`, 0), "header: byte 8: invalid character '}'"},
		{"text after the object", encode(`{}{}`, 0), "header: byte 3: invalid character '{' after top-level value"},
		{"an array", encode(`{"a":[]}`, 0), `"a": found [, want an object`},
		{"deeply nested", encode(`{"a":`+strings.Repeat("[", 20000), 0), "header: byte"},

		{"duplicate tensor", encode(strings.Replace(two("[0,4]", "[4,8]"), `"b"`, `"a"`, 1), 8), `"a": duplicate key`},
		{"a name of two lines", encode(strings.Replace(two("[0,4]", "[4,8]"), `"b"`, `"b\nc"`, 1), 8),
			`"b\nc": a name with characters that cannot be printed`},
		{"a name that colours a terminal", encode(strings.Replace(two("[0,4]", "[4,8]"), `"b"`, `"\u001b[31m"`, 1), 8),
			`"\x1b[31m": a name with characters that cannot be printed`},
		{"duplicate tensor, escaped",
			encode(strings.Replace(two("[0,4]", "[4,8]"), `"b"`, `"\u0061"`, 1), 8), `"a": duplicate key`},
		{"duplicate key in a tensor", encode(`{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, 4),
			`"a": "dtype": duplicate key`},
		{"duplicate metadata", encode(`{"__metadata__":{"x":"1","x":"2"}}`, 0), `"__metadata__": "x": duplicate key`},
		{"metadata no strings", encode(`{"__metadata__":{"x":1}}`, 0), `"x": found 1, want a string`},

		{"unknown dtype", encode(one("F4", "[2]", "[0,8]"), 8), `"a": "dtype": tensor: unknown dtype "F4"`},
		{"dtype no string", encode(`{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}`, 4), "found 7, want a string"},
		{"dtype missing", encode(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4), `"a": dtype is missing`},
		{"shape missing", encode(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), `"a": shape is missing`},
		{"offsets missing", encode(`{"a":{"dtype":"F32","shape":[1]}}`, 4), `"a": data_offsets is missing`},
		{"unknown key", encode(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}}`, 4),
			`"strides": unknown key`},
		{"shape null", encode(one("F32", "null", "[0,4]"), 4), "found null, want an array"},

		{"wrong size", encode(one("F32", "[3]", "[0,8]"), 8), `"a": 8 bytes, want 12 for F32 [3]`},
		{"dimension 2^63", encode(one("U8", "[9223372036854775808]", "[0,8]"), 8),
			"found 9223372036854775808, want a whole number from 0 to 2^63-1"},
		{"dimension 2^63-1 of F32", encode(one("F32", "[9223372036854775807]", "[0,8]"), 8), "is larger than any file"},
		{"dimensions whose product is 2^64", encode(one("U8", "[4294967296,4294967296]", "[0,0]"), 0),
			"is larger than any file"},
		{"the same beside a 0", encode(one("U8", "[0,4294967296,4294967296]", "[0,0]"), 0), "is larger than any file"},
		{"negative dimension", encode(one("F32", "[-1]", "[0,4]"), 4), "found -1, want a whole number"},
		{"fractional dimension", encode(one("F32", "[1.5]", "[0,4]"), 4), "found 1.5, want a whole number"},
		{"exponent", encode(one("F32", "[1e0]", "[0,4]"), 4), "found 1e0, want a whole number"},
		{"65 dimensions", encode(one("F32", "["+strings.Repeat("1,", 64)+"1]", "[0,4]"), 4), "more than 64 numbers"},

		{"offsets backwards", encode(one("F32", "[1]", "[4,0]"), 4), "data_offsets [4 0], want begin and end"},
		{"one offset", encode(one("F32", "[1]", "[4]"), 4), "data_offsets [4], want begin and end"},
		{"three offsets", encode(one("F32", "[1]", "[0,4,8]"), 4), "more than 2 numbers"},
		{"offset 2^63", encode(one("F32", "[1]", "[0,9223372036854775808]"), 4), "found 9223372036854775808"},
		{"overlap", encode(two("[0,4]", "[2,6]"), 6), `"b" begins at byte 2, inside "a" which ends at 4`},
		{"the same bytes twice", encode(two("[0,4]", "[0,4]"), 4), `"b" begins at byte 0, inside "a" which ends at 4`},
		{"gap", encode(two("[0,4]", "[8,12]"), 12), `"b" begins at byte 8, want 4`},
		{"gap at the start", encode(one("F32", "[1]", "[4,8]"), 8), `"a" begins at byte 4, want 0`},
		{"out of range", encode(one("U8", "[1099511627776]", "[0,1099511627776]"), 8),
			"want 1099511627861: the file is incomplete"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := write(t, "x.safetensors", row.file)
			f, err := Open(t.Context(), path)
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			if text := err.Error(); !strings.Contains(text, row.want) || !strings.Contains(text, path) ||
				strings.Contains(text, "\n") {
				t.Errorf("%q, want one line with the path and %q", text, row.want)
			}
		})
	}
}

func TestOpenMissing(t *testing.T) {
	path := write(t, "x.safetensors.part", []byte("half"))
	_, err := Open(t.Context(), strings.TrimSuffix(path, ".part"))
	want := "x.safetensors.part exists: the download is not finished"
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), filepath.Dir(path)); err == nil {
		t.Error("opened a folder")
	}
}

func TestTensor(t *testing.T) {
	// The header has an even length, so that the data of "b", at offset 1, has an odd address.
	header := `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},` +
		`"b":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]}}`
	if len(header)%2 == 1 {
		header += " "
	}
	path := write(t, "x.safetensors", encode(header, 9))
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := f.Tensor("b")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Data, []byte{1, 2, 3, 4, 5, 6, 7, 8}) || b.DType != tensor.F32 ||
		!slices.Equal(b.Shape, []int{2, 1}) || b.Scale != 1 || b.Name != path+": b" {
		t.Errorf("%+v", b)
	}
	if address := uintptr(unsafe.Pointer(&b.Data[0])); address%4 != 0 {
		t.Errorf("data at %#x, want a multiple of 4", address)
	}
	a, err := f.Tensor("a")
	if err != nil {
		t.Fatal(err)
	}
	if &a.Data[0] != &f.Contents()[8+len(f.Header())] {
		t.Error("an aligned tensor was copied")
	}
	if _, err := f.Tensor("c"); !errors.Is(err, tensor.ErrMissing) || !strings.Contains(err.Error(), path+": c") {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if _, err := f.Tensor("a"); err == nil {
		t.Error("a closed file gave a tensor")
	}
}

func TestOpenSet(t *testing.T) {
	shard := func(name string) []byte {
		return encode(fmt.Sprintf(`{%q:{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, name), 3)
	}
	complete := map[string][]byte{"m-1.safetensors": shard("a"), "m-2.safetensors": shard("b")}
	for _, row := range []struct {
		name, index string
		files       map[string][]byte
		want        string // error, "" for none
	}{
		{"complete", `{"metadata":{"total_size":6},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}`, complete,
			""},
		{"shard missing", `{"weight_map":{"a":"m-1.safetensors","b":"m-3.safetensors"}}`, complete,
			"(one of 2 shards in x.safetensors.index.json)"},
		{"shard not finished", `{"weight_map":{"a":"m-1.safetensors"}}`, map[string][]byte{"m-1.safetensors.part": nil},
			"m-1.safetensors.part exists: the download is not finished"},
		{"shard cut short", `{"weight_map":{"a":"m-1.safetensors"}}`, map[string][]byte{"m-1.safetensors": shard("a")[:62]},
			"m-1.safetensors: 62 bytes, want 64: the file is incomplete"},
		{"tensor not in its shard", `{"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors"}}`, complete,
			"names 1 tensors that its shards lack: b (in m-1.safetensors)"},
		{"tensor twice", `{"weight_map":{"a":"m-1.safetensors","a":"m-2.safetensors"}}`, complete,
			`"weight_map": "a": duplicate key`},
		{"a name of two lines", `{"weight_map":{"a\nb":"x.safetensors"}}`, complete, `"a\nb": a name with characters`},
		{"weight_map twice", `{"weight_map":{},"weight_map":{"a":"m-1.safetensors"}}`, complete,
			`"weight_map": duplicate key`},
		{"no weight_map", `{"metadata":{}}`, complete, "weight_map is missing or empty"},
		{"empty weight_map", `{"weight_map":{}}`, complete, "weight_map is missing or empty"},
		{"shard no string", `{"weight_map":{"a":1}}`, complete, "found 1, want a string"},
		{"not JSON", `{"weight_map":`, complete, "unexpected end of JSON input"},
		{"an array", `[]`, complete, "found [, want an object"},
		{"parent folder", `{"weight_map":{"a":"../m-1.safetensors"}}`, complete,
			`shard "../m-1.safetensors", want the plain name`},
		{"parent folder, Windows", `{"weight_map":{"a":"..\\m-1.safetensors"}}`, complete, `want the plain name`},
		{"absolute", `{"weight_map":{"a":"/etc/m-1.safetensors"}}`, complete, `want the plain name`},
		{"drive", `{"weight_map":{"a":"C:m-1.safetensors"}}`, complete, `want the plain name`},
		{"other ending", `{"weight_map":{"a":"m-1.bin"}}`, complete, `want the plain name`},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			index := filepath.Join(dir, "x.safetensors.index.json")
			files := map[string][]byte{"x.safetensors.index.json": []byte(row.index)}
			for name, content := range row.files {
				files[name] = content
			}
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			s, err := OpenSet(t.Context(), index)
			if row.want != "" {
				if err == nil {
					t.Fatal("opened")
				}
				if text := filepath.ToSlash(err.Error()); !strings.Contains(text, row.want) ||
					!strings.Contains(text, filepath.ToSlash(dir)) || strings.Contains(text, "\n") {
					t.Errorf("%q, want one line with %q", text, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b, err := s.Tensor("b")
			if err != nil || !bytes.Equal(b.Data, []byte{0, 1, 2}) || len(s.Files()) != 2 ||
				!slices.Equal(s.Names(), []string{"a", "b"}) {
				t.Errorf("%+v %v", b, err)
			}
			if _, err := s.Tensor("c"); !errors.Is(err, tensor.ErrMissing) {
				t.Error(err)
			}
		})
	}
}
