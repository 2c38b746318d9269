package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// bytesOf returns a tensor whose bytes are a formula.
func bytesOf(name string, dtype tensor.DType, shape ...int) safetensors.Entry {
	return safetensors.Entry{Name: name, DType: dtype, Shape: shape, Fill: func(dst []byte, first int) error {
		for i := range dst {
			dst[i] = byte((first+i)*37+11) & 0x7b // no NaN of float8
		}
		return nil
	}}
}

// scalesOfValues returns a float32 tensor.
func scalesOfValues(name string, values []float32, shape ...int) safetensors.Entry {
	return safetensors.Entry{Name: name, DType: tensor.F32, Shape: shape, Fill: func(dst []byte, first int) error {
		for i := range len(dst) / 4 {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(values[first+i]))
		}
		return nil
	}}
}

// fileWith writes a safetensors file with metadata and opens its tensors.
func fileWith(t *testing.T, metadata map[string]string, entries ...safetensors.Entry) (*Tensors, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Fill == nil {
			entries[i].Fill = func(dst []byte, _ int) error { clear(dst); return nil }
		}
	}
	if err := errors.Join(safetensors.Write(t.Context(), w, metadata, entries, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := OpenTensors(t.Context(), path)
	if err == nil {
		t.Cleanup(func() { file.Close() })
	}
	return file, path, err
}

// TestMarkers opens a layer in every format and spelling, and checks how its weight looks.
func TestMarkers(t *testing.T) {
	const layer = "double_blocks.0.img_mlp.0"
	const weight = layer + ".weight"
	perRow := make([]float32, 64)
	for i := range perRow {
		perRow[i] = float32(i + 1)
	}
	i8 := bytesOf(weight, tensor.I8, 64, 128)
	rows := scalesOfValues(layer+".weight_scale", perRow, 64, 1)
	for _, row := range []struct {
		name     string
		metadata string
		entries  []safetensors.Entry
		dtype    tensor.DType
		scale    float32
		rows     bool
		blocks   int // their width
		rotation int
	}{
		{"float8 by a marker", "", []safetensors.Entry{bytesOf(weight, tensor.F8E5M2, 64, 128),
			textOf(layer+".comfy_quant", `{"format":"float8_e5m2","full_precision_matrix_mult":true}`),
			scaleOfValue(layer+".weight_scale", 0.5)}, tensor.F8E5M2, 0.5, false, 0, 0},
		{"float8 by row", "", []safetensors.Entry{bytesOf(weight, tensor.F8E4M3, 64, 128), rows},
			tensor.F8E4M3, 1, true, 0, 0},
		{"float8 in blocks", "", []safetensors.Entry{bytesOf(weight, tensor.F8E4M3, 64, 128),
			scalesOfValues(layer+".weight_scale_inv", []float32{2}, 1, 1)}, tensor.F8E4M3, 2, false, 0, 0},
		{"float8 with a scale for 16 columns", "", []safetensors.Entry{bytesOf(weight, tensor.F8E4M3, 64, 128),
			scalesOfValues(layer+".weight_scale", slices.Repeat(perRow, 8), 64, 8)}, tensor.F8E4M3, 1, false, 16, 0},
		{"int8 without a marker", "", []safetensors.Entry{i8, rows}, tensor.I8, 1, true, 0, 0},
		{"int8 in the metadata", `{"format_version":"1.0","layers":{"` + layer + `":"int8_tensorwise"}}`,
			[]safetensors.Entry{i8, scaleOfValue(layer+".weight_scale", 2)}, tensor.I8, 2, false, 0, 0},
		{"metadata with ComfyUI's prefix", `{"layers":{"model.diffusion_model.` + layer + `":{"format":"int8_tensorwise"}}}`,
			[]safetensors.Entry{i8, scaleOfValue(layer+".weight_scale", 2)}, tensor.I8, 2, false, 0, 0},
		{"rotated int8", "", []safetensors.Entry{i8, rows,
			textOf(layer+".comfy_quant", `{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":64}`)},
			tensor.I8, 1, true, 0, 64},
		{"rotated int8, params", "", []safetensors.Entry{i8, rows,
			textOf(layer+".comfy_quant", `{"format":"int8_tensorwise","params":{"convrot":true,"convrot_groupsize":16}}`)},
			tensor.I8, 1, true, 0, 16},
		{"rotated int8, older spelling", "", []safetensors.Entry{i8, rows,
			textOf(layer+".comfy_quant", `{"convrot":true,"convrot_groupsize":64,"per_row":true}`)}, tensor.I8, 1, true, 0, 64},
		{"int8 that is not rotated", "", []safetensors.Entry{i8, rows,
			textOf(layer+".comfy_quant", `{"format":"int8_tensorwise","convrot":false,"convrot_groupsize":64}`)},
			tensor.I8, 1, true, 0, 0},
		{"nvfp4", "", []safetensors.Entry{bytesOf(weight, tensor.U8, 64, 64),
			textOf(layer+".comfy_quant", `{"format":"nvfp4"}`),
			bytesOf(layer+".weight_scale", tensor.F8E4M3, 128, 8), scaleOfValue(layer+".weight_scale_2", 0.25),
			scaleOfValue(layer+".input_scale", 3)}, tensor.F4E2M1, 0.25, false, 16, 0},
		{"nvfp4 of NVIDIA ModelOpt", "", []safetensors.Entry{bytesOf(weight, tensor.U8, 64, 64),
			bytesOf(layer+".weight_scale", tensor.F8E4M3, 64, 8), scaleOfValue(layer+".weight_scale_2", 0.25),
			scaleOfValue(layer+".input_scale", 3)}, tensor.F4E2M1Low, 0.25, false, 16, 0},
		{"mxfp8", "", []safetensors.Entry{bytesOf(weight, tensor.F8E4M3, 64, 128), textOf(layer+".comfy_quant", `"mxfp8"`),
			bytesOf(layer+".weight_scale", tensor.U8, 128, 4)}, tensor.F8E4M3, 1, false, 32, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var metadata map[string]string
			if row.metadata != "" {
				metadata = map[string]string{metadataKey: row.metadata}
			}
			file, _, err := fileWith(t, metadata, row.entries...)
			if err != nil {
				t.Fatal(err)
			}
			if names := file.Names(); !slices.Equal(names, []string{weight}) {
				t.Errorf("names %v, want the weight only", names)
			}
			w := mustTensor(t, file, weight)
			if !slices.Equal(w.Shape, []int{64, 128}) || w.DType != row.dtype || w.Scale != row.scale {
				t.Errorf("%v %v with scale %v, want %v [64 128] with %v", w.DType, w.Shape, w.Scale, row.dtype, row.scale)
			}
			q := w.Quant
			if q == nil {
				q = &tensor.Quant{}
			}
			if (q.Rows != nil) != row.rows || q.Rotation != row.rotation || (q.Blocks != nil) != (row.blocks > 0) ||
				q.Blocks != nil && q.Blocks.Width != row.blocks {
				t.Errorf("%+v, want rows %t, blocks of %d, rotation %d", q, row.rows, row.blocks, row.rotation)
			}
		})
	}
}

// TestPreQuantScale checks that pre_quant_scale multiplies the columns.
func TestPreQuantScale(t *testing.T) {
	columns := make([]float32, 32)
	for i := range columns {
		columns[i] = float32(i + 1)
	}
	file, _, err := fileWith(t, nil, bytesOf("a.weight", tensor.I8, 2, 32), scaleOfValue("a.weight_scale", 0.5),
		scalesOfValues("a.pre_quant_scale", columns, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := mustTensor(t, file, "a.weight")
	for i, v := range w.Float32s() {
		if want := float32(int8(w.Data[i])) * 0.5 * columns[i%32]; v != want {
			t.Fatalf("value %d is %v, want %v", i, v, want)
		}
	}
}

// TestMarkersRefuse has markers that contradict the tensors. The error names the file, the tensor, what was found and
// what was wanted.
func TestMarkersRefuse(t *testing.T) {
	mark := func(json string) safetensors.Entry { return textOf("a.comfy_quant", json) }
	i8, f8 := bytesOf("a.weight", tensor.I8, 64, 128), bytesOf("a.weight", tensor.F8E4M3, 64, 128)
	u8, one := bytesOf("a.weight", tensor.U8, 64, 64), scaleOfValue("a.weight_scale", 1)
	rotated := func(size string) safetensors.Entry {
		return mark(`{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":` + size + `}`)
	}
	second := scaleOfValue("a.weight_scale_2", 1)
	scales := bytesOf("a.weight_scale", tensor.F8E4M3, 128, 8)
	for _, row := range []struct {
		name, metadata string
		entries        []safetensors.Entry
		tensor, want   string
	}{
		{"no JSON", "", []safetensors.Entry{f8, one, mark(`{`)}, "a.comfy_quant", "want the JSON of a quantisation"},
		{"a list", "", []safetensors.Entry{f8, one, mark(`[]`)}, "a.comfy_quant", "want the JSON of a quantisation"},
		{"no format", "", []safetensors.Entry{f8, one, mark(`{"params":{}}`)}, "a.comfy_quant", `format is ""`},
		{"a format of two lines", "", []safetensors.Entry{f8, one, mark(`"a\nb"`)}, "a.comfy_quant", `format is "a\nb"`},
		{"marker of numbers", "", []safetensors.Entry{f8, one, of("a.comfy_quant", tensor.F32, 4)}, "a.comfy_quant",
			"F32 [4], want at most 65536 bytes of JSON"},
		{"metadata", `{"layers":3}`, []safetensors.Entry{f8, one}, metadataKey, "cannot unmarshal"},
		{"metadata of a layer", `{"layers":{"a":7}}`, []safetensors.Entry{f8, one}, metadataKey, `layer "a": want the JSON`},
		{"metadata with two entries for a layer", `{"layers":{"a":"int8_tensorwise","model.diffusion_model.a":"nvfp4"}}`,
			[]safetensors.Entry{i8, one}, metadataKey, `two entries for the layer "a", want one`},
		{"another format", "", []safetensors.Entry{i8, one, mark(`{"format":"float8_e4m3fn"}`)}, "a.weight",
			"dtype I8, want F8_E4M3: its marker says float8_e4m3fn"},
		{"no scale", "", []safetensors.Entry{f8, mark(`{"format":"float8_e4m3fn"}`)}, "a.weight", "has no weight_scale"},
		{"groups of 0", "", []safetensors.Entry{i8, one, rotated("0")}, "a.comfy_quant", "want a power of 4"},
		{"groups of 32", "", []safetensors.Entry{i8, one, rotated("32")}, "a.comfy_quant", "is 32, want a power of 4"},
		{"groups of 2^63", "", []safetensors.Entry{i8, one, rotated("9223372036854775808")}, "a.comfy_quant",
			"want a power of 4"},
		{"groups that do not divide a row", "", []safetensors.Entry{i8, one, rotated("256")}, "a.weight",
			"shape [64 128], want rows that are a multiple of the marker's convrot_groupsize 256"},
		{"nvfp4 without its second scale", "", []safetensors.Entry{u8, scales, mark(`{"format":"nvfp4"}`)}, "a.weight",
			"has no weight_scale_2"},
		{"nvfp4 with scales that are not padded", "", []safetensors.Entry{u8, second,
			bytesOf("a.weight_scale", tensor.F8E4M3, 64, 8), mark(`{"format":"nvfp4"}`)}, "a.weight_scale",
			"F8_E4M3 [64 8], want F8_E4M3 or U8 [128 8] for a weight of [64 128]"},
		{"nvfp4 in rows of 24", "", []safetensors.Entry{bytesOf("a.weight", tensor.U8, 64, 12), second, scales,
			mark(`{"format":"nvfp4"}`)}, "a.weight", "want a matrix with rows of a multiple of 16"},
		{"nvfp4 with a second scale of 0", "", []safetensors.Entry{u8, scales, scaleOfValue("a.weight_scale_2", 0),
			mark(`{"format":"nvfp4"}`)}, "a.weight_scale_2", "0, want a positive number"},
		{"nvfp4 without a marker beside one with a marker", "", []safetensors.Entry{u8, second,
			bytesOf("a.weight_scale", tensor.F8E4M3, 64, 8), bytesOf("b.weight", tensor.F8E4M3, 64, 128),
			scaleOfValue("b.weight_scale", 1), textOf("b.comfy_quant", `"float8_e4m3fn"`)}, "a.weight",
			"nvfp4 without a marker in a file in which other layers have markers"},
		{"mxfp8 with scales in float32", "", []safetensors.Entry{f8, of("a.weight_scale", tensor.F32, 128, 4),
			mark(`{"format":"mxfp8"}`)}, "a.weight_scale", "F32 [128 4], want F8_E8M0 or U8 [128 4]"},
		{"mxfp8 with a second scale", "", []safetensors.Entry{f8, bytesOf("a.weight_scale", tensor.U8, 128, 4),
			scalesOfValues("a.weight_scale_2", []float32{1, 2, 3}, 3), mark(`{"format":"mxfp8"}`)}, "a.weight_scale_2",
			"marker says mxfp8, want it only for nvfp4"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var metadata map[string]string
			if row.metadata != "" {
				metadata = map[string]string{metadataKey: row.metadata}
			}
			_, path, err := fileWith(t, metadata, row.entries...)
			wantError(t, row.name, err, path, row.want)
			if err != nil && !strings.Contains(err.Error(), row.tensor) {
				t.Errorf("error %v, want one with %q", err, row.tensor)
			}
		})
	}
	// A scale in a row is read with the weight.
	scale := make([]float32, 64)
	for i := range scale {
		scale[i] = 1
	}
	for _, bad := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1))} {
		scale[7] = bad
		file, path, err := fileWith(t, nil, i8, scalesOfValues("a.weight_scale", scale, 64))
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Tensor("a.weight")
		wantError(t, "a row's scale", err, path, "at index 7, want a positive number")
	}
}

// TestBlockScalesRefuse has NaN in tables of one byte for each scale.
func TestBlockScalesRefuse(t *testing.T) {
	for _, row := range []struct {
		weight, scales tensor.DType
		format         string
		shape          [4]int // of the weight's bytes and of the scales
		code           byte
		at             int // the offset of the code in the scales, unless it is -1
		where          string
	}{
		{tensor.U8, tensor.F8E4M3, "nvfp4", [4]int{64, 64, 128, 8}, 0x7f, 16, "1 and block 0"},
		{tensor.U8, tensor.U8, "nvfp4", [4]int{64, 64, 128, 8}, 0xff, 512 + 17, "1 and block 5"},
		{tensor.U8, tensor.F8E4M3, "", [4]int{64, 64, 64, 8}, 0x7f, 9, "1 and block 1"},
		{tensor.F8E4M3, tensor.U8, "mxfp8", [4]int{64, 128, 128, 4}, 0xff, 4 + 16, "33 and block 0"},
		{tensor.U8, tensor.F8E4M3, "nvfp4", [4]int{64, 64, 128, 8}, 0xff, -1, ""}, // only padding
	} {
		entries := []safetensors.Entry{bytesOf("a.weight", row.weight, row.shape[0], row.shape[1]), {
			Name: "a.weight_scale", DType: row.scales, Shape: row.shape[2:],
			Fill: func(dst []byte, first int) error {
				clear(dst)
				for _, at := range []int{row.at, len(dst) - 1} { // the last byte is padding in all files but ModelOpt's
					if first == 0 && at >= 0 {
						dst[at] = row.code
					}
				}
				return nil
			},
		}}
		if row.format != "" {
			entries = append(entries, textOf("a.comfy_quant", `{"format":"`+row.format+`"}`))
		}
		if row.format != "mxfp8" {
			entries = append(entries, scaleOfValue("a.weight_scale_2", 1))
		}
		file, path, err := fileWith(t, nil, entries...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Tensor("a.weight")
		if row.at < 0 {
			if err != nil {
				t.Errorf("NaN in the padding: %v", err)
			}
			continue
		}
		wantError(t, row.format, err, path, "a.weight_scale: NaN for row "+row.where+" of it, want a number")
	}
}

// TestScalesOfAMatrix reads a weight with a scale for each value, and measures that its table is not copied to memory.
func TestScalesOfAMatrix(t *testing.T) {
	const rows, cols = 64, 1 << 14
	scales := slices.Repeat([]float32{1}, rows*cols)
	open := func() tensor.Tensor {
		file, path, err := fileWith(t, nil, bytesOf("a.weight", tensor.I8, rows, cols),
			scalesOfValues("a.weight_scale", scales, rows, cols))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w, err := file.Tensor("a.weight")
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%d bytes of memory for a table of %d, want less than 1 MiB", took, 4*len(scales))
		}
		if scales[rows*cols-1] == 1 {
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		wantError(t, "the last scale", err, path, fmt.Sprintf("0 at index %d, want a positive number", rows*cols-1))
		return w
	}
	if w := open(); w.Quant == nil || w.Quant.Blocks == nil || w.Quant.Blocks.Width != 1 {
		t.Errorf("%+v, want blocks of one column", w.Quant)
	}
	scales[rows*cols-1] = 0
	open()
}

// TestForeignMarkers checks that formats that are not supported are named.
func TestForeignMarkers(t *testing.T) {
	layer := "single_blocks.0.linear1"
	for _, format := range []string{"svdquant_w4a4", "awq_w4a16", "convrot_w4a4", "asym_w4a8_int8", "a_new_one"} {
		path := tensorFile(t, "x.safetensors", of("img_in.weight", tensor.BF16, 4, 4), of(layer+".weight", tensor.I8, 64, 64),
			scaleOfValue(layer+".weight_scale", 1), textOf(layer+".comfy_quant", `{"format":"`+format+`"}`))
		_, err := Open(t.Context(), path)
		wantError(t, format, err, path, format+" weights are not supported")
	}
}

// FuzzMarker checks that the JSON of a marker gives a marker or an error of one line, never a panic.
func FuzzMarker(f *testing.F) {
	for _, text := range []string{
		`{"format":"nvfp4"}`, `"mxfp8"`, `{"convrot":true,"convrot_groupsize":64,"per_row":true}`,
		`{"format":"int8_tensorwise","params":{"convrot":true,"convrot_groupsize":1e300}}`, `{"format":null}`, `[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMarker(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		if m.format == "" || m.rotation < 0 || m.rotation > maxRotation || m.rotation > 0 && !isPowerOf4(m.rotation) {
			t.Errorf("%q: %+v", text, m)
		}
	})
}

// FuzzMetadata does the same for the markers in a file's metadata.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"format_version":"1.0","layers":{"a":{"format":"nvfp4"},"b":"mxfp8"}}`)
	f.Add(`{"layers":{"a":{"format":"int8_tensorwise","convrot":true}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseMetadata(text); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}

// TestQuantizationConfig has the quantization_config of a Diffusers folder's config.json.
func TestQuantizationConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                           "",
		`{"quantization_config":null}`: "",
		`{"quantization_config":{"quant_method":"fp8","weight_block_size":[128,128]}}`: "",
		`{"quantization_config":{"quant_method":"fp8"}}`:                               "",
		`{"quantization_config":{"quant_method":"modelopt","quant_algo":"FP8"}}`:       "",
		`{"quantization_config":{"quant_method":"fp8","weight_block_size":[64,128]}}`:  "weight_block_size is [64 128]",
		`{"quantization_config":{"quant_method":"modelopt","quant_algo":"W4A8"}}`:      `quant_algo "W4A8"`,
		`{"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true}}`:  `quant_method "bitsandbytes"`,
		`{"quantization_config":{"quant_method":"torchao"}}`:                           `quant_method "torchao"`,
		`{"quantization_config":7}`:                                                    "cannot unmarshal",
	} {
		err := checkQuantization([]byte(config))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", config, err, want)
		}
	}
	folder, _ := tiny(t)
	path := filepath.Join(folder, "transformer", "config.json")
	mustWrite(t, path, `{"quantization_config":{"quant_method":"torchao"}}`)
	_, err := Open(t.Context(), folder)
	wantError(t, "a folder", err, path, `quant_method "torchao" is not supported`)
}

// TestFormats checks the names of formats that people see.
func TestFormats(t *testing.T) {
	_, single := tiny(t)
	c := mustOpen(t, spec(single, fp8File, vaeFile, textFile))
	for _, row := range []struct {
		of   Component
		want string
	}{{c.Transformer, "fp8 e4m3, BF16"}, {c.TextEncoder, "BF16"}, {c.VAE, "F32"}} {
		if have := row.of.Formats(); have != row.want {
			t.Errorf("formats %q, want %q", have, row.want)
		}
	}
}

// TestSwappedScales checks that the halves of the final layer's modulation are exchanged together with their scales, in
// each layout. 64 rows are fewer than the scales are padded to.
func TestSwappedScales(t *testing.T) {
	const layer = "final_layer.adaLN_modulation.1"
	perRow := make([]float32, 64)
	for i := range perRow {
		perRow[i] = float32(i + 1)
	}
	for name, entries := range map[string][]safetensors.Entry{
		"nvfp4": {bytesOf(layer+".weight", tensor.U8, 64, 64), textOf(layer+".comfy_quant", `{"format":"nvfp4"}`),
			bytesOf(layer+".weight_scale", tensor.F8E4M3, 128, 8), scaleOfValue(layer+".weight_scale_2", 0.25)},
		"mxfp8": {bytesOf(layer+".weight", tensor.F8E4M3, 64, 128), textOf(layer+".comfy_quant", `{"format":"mxfp8"}`),
			bytesOf(layer+".weight_scale", tensor.U8, 128, 4)},
		"int8": {bytesOf(layer+".weight", tensor.I8, 64, 128), scalesOfValues(layer+".weight_scale", perRow, 64)},
	} {
		t.Run(name, func(t *testing.T) {
			path := tensorFile(t, "x.safetensors", append(entries, of("img_in.weight", tensor.BF16, 4, 4))...)
			set, err := openStore(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			parts, err := recognise(set, path)
			if err != nil {
				t.Fatal(err)
			}
			w, err := newWeights(set, path, parts[0])
			if err != nil {
				t.Fatal(err)
			}
			stored := mustTensor(t, &Tensors{set}, layer+".weight").Float32s()
			have := mustTensor(t, w, "norm_out.linear.weight").Float32s()
			half := len(stored) / 2
			if want := slices.Concat(stored[half:], stored[:half]); !slices.Equal(have, want) {
				t.Error("the values are not those of the file with exchanged halves")
			}
			if slices.Equal(stored[:half], stored[half:]) {
				t.Error("both halves are equal: the test does not see an exchange")
			}
		})
	}
}
