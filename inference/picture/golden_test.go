package picture

import (
	"encoding/json"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/goldentest"
)

// goldenFolders returns a folder of testdata with a part of the golden files, and the same folder of all goldens.
func goldenFolders(t *testing.T, sub string) []string {
	folders := []string{filepath.Join("testdata", sub)}
	for _, golden := range goldentest.Folders() {
		if whole := filepath.Join(golden, sub); exists(whole) {
			folders = append(folders, whole)
		}
	}
	if len(folders) == 1 {
		t.Logf("only testdata: no folder of goldens has %s", sub)
	}
	return folders
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readPNG(t *testing.T, path string) *image.RGBA {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	rgba := image.NewRGBA(img.Bounds())
	draw.Draw(rgba, rgba.Rect, img, image.Point{}, draw.Src)
	return rgba
}

// difference returns the mean absolute difference of levels, the largest difference, and the pixel where that is.
func difference(got, want *image.RGBA) (mean float64, worst int, at image.Point) {
	var sum int
	for i := range got.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		d = max(d, -d)
		sum += d
		if d > worst {
			worst, at = d, image.Pt(i/4%got.Rect.Dx(), i/4/got.Rect.Dx())
		}
	}
	return float64(sum) / float64(len(got.Pix)/4*3), worst, at
}

func TestPreparedAsReferencePrepares(t *testing.T) {
	for _, folder := range goldenFolders(t, "prepare") {
		text, err := os.ReadFile(filepath.Join(folder, "prepare.json"))
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Accepted []struct {
				File, Expected string
				Width, Height  int
				MeanAbsAtMost  float64 `json:"mean_abs_at_most"`
				Why            string
			}
			Refused []struct{ File, Why string }
		}
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Accepted) == 0 || len(list.Refused) == 0 {
			t.Fatalf("%s lists %d accepted and %d refused files, want some of both",
				folder, len(list.Accepted), len(list.Refused))
		}
		for _, row := range list.Accepted {
			t.Run(filepath.Join(folder, row.File), func(t *testing.T) {
				ref, err := Open(t.Context(), filepath.Join(folder, row.File))
				if err != nil {
					t.Fatal(err)
				}
				if want := (Size{row.Width, row.Height}); ref.Size != want {
					t.Fatalf("size %v, want %v", ref.Size, want)
				}
				mean, worst, at := difference(ref.Image, readPNG(t, filepath.Join(folder, row.Expected)))
				t.Logf("mean %.3f, worst %d at %v", mean, worst, at)
				if mean > row.MeanAbsAtMost {
					t.Errorf("mean absolute difference %.3f, want at most %g (%s); worst %d at %v",
						mean, row.MeanAbsAtMost, row.Why, worst, at)
				}
			})
		}
		for _, row := range list.Refused {
			if _, err := Open(t.Context(), filepath.Join(folder, row.File)); err == nil {
				t.Errorf("%s was accepted, want it refused: %s", row.File, row.Why)
			} else {
				t.Log(err)
			}
		}
	}
}
