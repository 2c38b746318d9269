package flux2

import (
	"encoding/binary"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"testing"

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
		conditions = append(conditions, gridOf(t, filepath.Join(dir, name)))
	}
	stagesOf(t, filepath.Join(dir, "stages.safetensors")).samePositions("img_ids", positions(0, image, conditions))
}

// gridOf returns the size of a picture in tokens.
func gridOf(t *testing.T, path string) Grid {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ref, err := png.DecodeConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	return Grid{ref.Height / 16, ref.Width / 16}
}

// samePositions compares coordinates with the recorded ones.
func (s stages) samePositions(name string, got []position) {
	s.t.Helper()
	ids, err := s.file.Tensor(name)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(ids.Shape) != 2 || ids.Shape[0] != len(got) || ids.Shape[1] != axes {
		s.t.Fatalf("%s: %d positions, want %v", name, len(got), ids.Shape)
	}
	for i, p := range got {
		for axis, v := range p {
			if want := int32(binary.LittleEndian.Uint32(ids.Data[4*(i*axes+axis):])); int32(v) != want {
				s.t.Fatalf("%s: token %d is at %v, want %d on axis %d", name, i, p, want, axis)
			}
		}
	}
}
