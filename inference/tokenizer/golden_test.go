package tokenizer

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/goldentest"
)

// TestFlags compares ids with the reference for a small vocabulary whose added tokens have every flag. Its merges are
// written "a b".
func TestFlags(t *testing.T) {
	tok, err := Open("testdata/flags")
	if err != nil {
		t.Fatal(err)
	}
	eachLine(t, "testdata/flags/vectors.jsonl.gz", func(v vector) {
		if got := tok.Encode(v.Text); !slices.Equal(got, v.IDs) {
			t.Errorf("%+q\n got %v\nwant %v", v.Text, got, v.IDs)
		}
	})
}

// TestGolden compares the ids of the prompt of every golden case with the reference's. It reads the tokenizer of the
// case's model in all forms: the folder, tokenizer.json alone, and vocab.json with merges.txt.
func TestGolden(t *testing.T) {
	folders := goldentest.Folders()
	var cases []string
	for _, golden := range folders {
		found, err := filepath.Glob(filepath.Join(golden, "cases", "*", "case.json"))
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, found...)
	}
	if len(cases) == 0 {
		t.Skipf("no cases in %v", folders)
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.ToSlash(dir), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c struct{ Model, Prompt string }
			if err := json.Unmarshal(data, &c); err != nil {
				t.Fatal(err)
			}
			own := append([]string{filepath.Dir(filepath.Dir(dir))}, folders...)
			path := goldentest.Find(own, "models", filepath.Base(c.Model), "tokenizer")
			if path == "" { // single-file models have no tokenizer
				path = goldentest.Find(own, "models", "distilled", "tokenizer")
			}
			ids, mask := storedInts(t, dir, "input_ids"), storedInts(t, dir, "attention_mask")
			count := 0
			for _, m := range mask {
				count += int(m)
			}
			check := func(path string) {
				tok, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				e, err := tok.Prompt(c.Prompt, 512)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(e.IDs, ids) || e.Count != count {
					t.Errorf("%s: %q: count %d, want %d; ids equal: %t",
						path, c.Prompt, e.Count, count, slices.Equal(e.IDs, ids))
				}
			}
			check(path)
			check(filepath.Join(path, "tokenizer.json"))
			if vocab, err := os.ReadFile(filepath.Join(path, "vocab.json")); err == nil {
				files := map[string]string{"vocab.json": string(vocab)}
				for _, name := range []string{"merges.txt", "tokenizer_config.json"} {
					data, err := os.ReadFile(filepath.Join(path, name))
					if err != nil {
						t.Fatal(err)
					}
					files[name] = string(data)
				}
				check(writeDir(t, files))
			}
		})
	}
}

// storedInts reads an integer tensor of stages.safetensors in a case's folder.
func storedInts(t *testing.T, dir, name string) []int32 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "stages.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	size := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	entry, ok := header[name]
	if !ok {
		t.Fatalf("%s: no tensor %s", dir, name)
	}
	width := map[string]int{"I32": 4, "I64": 8}[entry.DType]
	if width == 0 {
		t.Fatalf("%s: %s: dtype %s, want I32 or I64", dir, name, entry.DType)
	}
	data = data[8+int(size):][entry.Offsets[0]:entry.Offsets[1]]
	ints := make([]int32, len(data)/width)
	for i := range ints {
		ints[i] = int32(binary.LittleEndian.Uint32(data[i*width:]))
	}
	return ints
}
