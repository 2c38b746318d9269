package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/goldentest"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// text returns a string in a pickle.
func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// pickled returns the pickle of a dictionary with one tensor [2, 2] called name, made by the function call.
func pickled(name, class, call, shape, strides string) string {
	return "\x80\x02ccollections\nOrderedDict\nq\x00)R(" + text(name) + "c" + call + "\n((" + text("storage") + "c" +
		class + "\n" + text("0") + text("cpu") + "K\x04tQK\x00" + shape + strides + "\x89h\x00)RtRu."
}

const rebuild, float = "torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage"

func archive(t testing.TB, files map[string]string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, data := range files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write([]byte(data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pth")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var values = strings.Repeat("\x00\x00\x80\x3f", 4)

func TestRead(t *testing.T) {
	path := write(t, archive(t, map[string]string{
		"a/data.pkl": pickled("w", float, rebuild, "K\x02K\x02\x86", "K\x02K\x01\x86"), "a/data/0": values,
		"a/byteorder": "little",
	}))
	all, err := Read(t.Context(), path, 1<<20)
	if x := all["w"]; err != nil || len(all) != 1 || !slices.Equal(x.Shape, []int{2, 2}) ||
		!slices.Equal(x.Float32s(), []float32{1, 1, 1, 1}) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestReadRefuses(t *testing.T) {
	square, rows := "K\x02K\x02\x86", "K\x02K\x01\x86"
	for _, row := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"code", map[string]string{"data.pkl": pickled("w", float, "os\nsystem", square, rows), "data/0": values},
			`calls "os system", want plain tensors only: nothing of a file is run`},
		{"no pickle", map[string]string{"x": ""}, "holds no data.pkl"},
		{"cut", map[string]string{"data.pkl": pickled("w", float, rebuild, square, rows)[:90]}, "ends too early"},
		{"no values", map[string]string{"data.pkl": pickled("w", float, rebuild, square, rows)},
			`its values: "data/0" is missing`},
		{"few values", map[string]string{"data.pkl": pickled("w", float, rebuild, square, rows), "data/0": values[:8]},
			"of only 8 bytes"},
		{"integers", map[string]string{"data.pkl": pickled("w", "torch\nLongStorage", rebuild, square, rows)},
			"a storage of another kind, want float32, float16 or bfloat16"},
		{"turned", map[string]string{"data.pkl": pickled("w", float, rebuild, square, "K\x01K\x02\x86")}, "with strides"},
		{"too much", map[string]string{
			"data.pkl": pickled("w", float, rebuild, "J\x00\x00\x00\x10K\x01\x86", "K\x01K\x01\x86"),
		}, "of values"},
		{"big-endian", map[string]string{"data.pkl": ".", "byteorder": "big"}, "want little"},
		{"a dictionary in itself", map[string]string{"data.pkl": "}q\x00" + text("a") + "h\x00s."}, "more than 4 levels"},
	} {
		path := write(t, archive(t, row.files))
		if _, err := Read(t.Context(), path, 1<<20); err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %s and %s", row.name, err, path, row.want)
		}
	}
	if _, err := Read(t.Context(), write(t, []byte("\x80\x02}.")), 1<<20); err == nil ||
		!strings.Contains(err.Error(), "neither a zip archive") {
		t.Errorf("a bare pickle: %v", err)
	}
}

// TestGoldenFile reads the file in the layout of the author's, which has the formula's values.
func TestGoldenFile(t *testing.T) {
	folders := goldentest.Folders()
	path := goldentest.Find(folders, "taef2", "taef2_decoder.pth")
	if path == "" {
		t.Skip("no folder of goldens has this file")
	}
	all, err := Read(t.Context(), path, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := synthetic.ReadManifest(filepath.Join(filepath.Dir(path), "taef2.safetensors.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := manifest.Tensor("decoder.layers.2.conv.0.weight") // 3 in the .pth
	got := all["3.conv.0.weight"]
	if err != nil || len(all) != 79 || got.DType != tensor.F16 || !slices.Equal(got.Shape, want.Shape) ||
		!bytes.Equal(got.Data, want.Data) {
		t.Errorf("%d tensors, %v %v, %v; want 79 with the formula's values", len(all), got.DType, got.Shape, err)
	}
}

// legacy returns a file in the older form with the dictionary of a pickle, one storage and its values.
func legacy(pickle, keys, storages string) []byte {
	return []byte(legacyMagic + "\x80\x02M\xe9\x03." + "\x80\x02}" + text("little_endian") + "\x88s." + pickle + keys +
		storages)
}

var (
	square   = pickled("w", float, rebuild, "K\x02K\x02\x86", "K\x02K\x01\x86")
	oneKey   = "\x80\x02](" + text("0") + "e."
	oneValue = "\x04\x00\x00\x00\x00\x00\x00\x00" + values
)

func TestReadLegacy(t *testing.T) {
	six := strings.Replace(square, "tQK", "NtQK", 1) // with a view, which is None
	for _, pickle := range []string{square, six} {
		all, err := Read(t.Context(), write(t, legacy(pickle, oneKey, oneValue)), 1<<20)
		if x := all["w"]; err != nil || len(all) != 1 || !slices.Equal(x.Float32s(), []float32{1, 1, 1, 1}) {
			t.Errorf("%+v, %v", all, err)
		}
	}
	for _, row := range []struct {
		name, pickle, keys, storages, want string
	}{
		{"code", pickled("w", float, "os\nsystem", "K\x02K\x02\x86", "K\x02K\x01\x86"), oneKey, oneValue,
			`calls "os system"`},
		{"cut in the pickles", square[:40], "", "", "pickle 4: byte 38: ends too early"},
		{"cut in the keys", square, oneKey[:5], "", "pickle 5: byte 4: ends too early"},
		{"cut before the values", square, oneKey, oneValue[:5], "ends too early"},
		{"cut in the values", square, oneKey, oneValue[:12], "a storage of 4 values: ends too early"},
		{"a huge storage", square, oneKey, strings.Repeat("\xff", 16), "ends too early"},
		{"no keys", square, "\x80\x02].", oneValue, `storage "0" is missing`},
		{"other keys", square, "\x80\x02]" + text("1") + "a.", oneValue, "that no tensor uses"},
		{"no list", square, "\x80\x02}.", oneValue, "holds no list of storages"},
		{"few values", square, oneKey, "\x02\x00\x00\x00\x00\x00\x00\x00" + values, "of only 8 bytes"},
	} {
		path := write(t, legacy(row.pickle, row.keys, row.storages))
		if _, err := Read(t.Context(), path, 1<<20); err == nil || !strings.Contains(err.Error(), row.want) ||
			!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %s and %s", row.name, err, path, row.want)
		}
	}
	if _, err := Read(t.Context(), write(t, legacy(square, oneKey, oneValue)), 8); err == nil ||
		!strings.Contains(err.Error(), "of values") {
		t.Errorf("more than may be read: %v", err)
	}
}

// FuzzLegacy checks that no file in the older form makes the reader panic or read without bounds.
func FuzzLegacy(f *testing.F) {
	whole := legacy(square, oneKey, oneValue)
	f.Add(whole[len(legacyMagic):])
	f.Add(whole[len(legacyMagic) : len(whole)-3])
	f.Fuzz(func(t *testing.T, rest []byte) {
		all, err := readLegacy(t.Context(), append([]byte(legacyMagic), rest...), 1<<16)
		if err != nil {
			return
		}
		for name, x := range all {
			if len(x.Data) != tensor.Elements(x.Shape)*x.DType.SizeBytes() {
				t.Errorf("%q: %d bytes for %v", name, len(x.Data), x.Shape)
			}
		}
	})
}

// FuzzPickle checks that no pickle makes the reader panic or read without bounds.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(pickled("w", float, rebuild, "K\x02K\x02\x86", "K\x02K\x01\x86")))
	f.Add([]byte("}q\x00" + text("a") + "h\x00s."))
	f.Add([]byte("(K\x01K\x02t\x85\x86\x87R."))
	f.Fuzz(func(t *testing.T, pickle []byte) {
		data := archive(t, map[string]string{"data.pkl": string(pickle), "data/0": values})
		r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		all, err := read(t.Context(), r, 1<<16)
		if err != nil {
			return
		}
		for name, x := range all {
			if len(x.Data) != tensor.Elements(x.Shape)*x.DType.SizeBytes() {
				t.Errorf("%q: %d bytes for %v", name, len(x.Data), x.Shape)
			}
		}
	})
}
