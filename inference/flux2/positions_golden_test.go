package flux2

import (
	"encoding/binary"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/goldentest"
)

// TestGoldenPositions compares the coordinates of the image's tokens and of all conditions with the reference's, in
// edits with and without the source as a condition.
func TestGoldenPositions(t *testing.T) {
	shared := filepath.Join("..", "testdata", "golden")
	for _, root := range append([]string{shared}, goldentest.Folders()...) {
		cases, err := filepath.Glob(filepath.Join(root, "inpaint", "cases", "*", "case.json"))
		if err != nil {
			t.Fatal(err)
		}
		if root == shared && len(cases) == 0 {
			t.Error("testdata has no cases")
		}
		for _, file := range cases {
			t.Run(filepath.ToSlash(filepath.Dir(file)), func(t *testing.T) { comparePositions(t, filepath.Dir(file)) })
		}
	}
}

func comparePositions(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Width, Height int
		Condition     string
		Refs          []string
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	image := Grid{c.Height / 16, c.Width / 16}
	var conditions []Grid
	if c.Condition != "refs" {
		conditions = append(conditions, image)
	}
	for _, name := range c.Refs {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ref, err := png.DecodeConfig(f)
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, Grid{ref.Height / 16, ref.Width / 16})
	}
	f, err := safetensors.Open(t.Context(), filepath.Join(dir, "stages.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids, err := f.Tensor("img_ids")
	if err != nil {
		t.Fatal(err)
	}
	got := positions(0, image, conditions)
	if len(ids.Shape) != 2 || ids.Shape[0] != len(got) || ids.Shape[1] != axes {
		t.Fatalf("%d positions, want %v", len(got), ids.Shape)
	}
	for i, p := range got {
		for axis, v := range p {
			if want := int32(binary.LittleEndian.Uint32(ids.Data[4*(i*axes+axis):])); int32(v) != want {
				t.Fatalf("token %d is at %v, want %d on axis %d", i, p, want, axis)
			}
		}
	}
}
