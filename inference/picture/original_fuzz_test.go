package picture

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzDecodeOriginal reads files of strangers at full depth, writes them in all formats, and reads them back: the
// levels of PNG are the same, and each file has its metadata.
func FuzzDecodeOriginal(f *testing.F) {
	for _, folder := range []string{"originals", "prepare"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			if info, err := os.Stat(path); err != nil || info.Size() > 12<<10 {
				continue // large seeds slow the search down
			}
			file, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(file)
		}
	}
	small := func(size Size, _ int) error {
		if size.Width <= 0 || size.Height <= 0 || size.Width > 1<<16/size.Height {
			return ErrSize
		}
		return nil
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if name := mediaName(file); name != "" {
			return // each run of a decoder in WebAssembly takes a second
		}
		o, err := decodeOriginal(t.Context(), file, small)
		if err != nil {
			return
		}
		for _, extension := range []string{".png", ".jpg", ".webp"} {
			var written bytes.Buffer
			if err := Encode(&written, o, Metadata{Prompt: "a fox"}, extension, 90); err != nil {
				t.Fatalf("%s: %v", extension, err)
			}
			meta, err := ReadMetadata(bytes.NewReader(written.Bytes()))
			if err != nil || meta.Prompt != "a fox" {
				t.Fatalf("%s: %+v, %v", extension, meta, err)
			}
			again, err := decodeOriginal(t.Context(), written.Bytes(), small)
			if err != nil {
				t.Fatalf("%s: %v", extension, err)
			}
			if again.Size != o.Size {
				t.Fatalf("%s: %v, want %v", extension, again.Size, o.Size)
			}
			if extension == ".png" {
				compareLevels(t, again.Pixels, o.Pixels)
			}
		}
	})
}
