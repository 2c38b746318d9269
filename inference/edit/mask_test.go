package edit

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// goldenFolders returns the folder of masks in testdata, the shared one if it exists, and that of KLEINBILD_GOLDENS.
func goldenFolders() (list []string) {
	for _, folder := range []string{
		filepath.Join("testdata", "masks"), filepath.Join("..", "..", "..", "shared", "golden", "inpaint", "masks"),
		filepath.Join(os.Getenv("KLEINBILD_GOLDENS"), "inpaint", "masks"),
	} {
		if _, err := os.Stat(filepath.Join(folder, "masks.json")); err == nil {
			list = append(list, folder)
		}
	}
	return list
}

func readPicture(t *testing.T, path string) image.Image {
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
	return img
}

// TestTokensAreTheReferences compares token masks with masks.json, cropped and padded. 1e-6 is the tolerance of the
// goldens; its numbers have nine digits.
func TestTokensAreTheReferences(t *testing.T) {
	type answer struct {
		Grid   [2]int
		Tokens []float64
	}
	for _, folder := range goldenFolders() {
		text, err := os.ReadFile(filepath.Join(folder, "masks.json"))
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Mask      string
			Picture   [2]int
			Crop, Pad answer
		}
		if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
			t.Fatalf("%v, %d masks", err, len(list))
		}
		for _, row := range list {
			t.Run(filepath.Join(folder, row.Mask), func(t *testing.T) {
				size := picture.Size{Width: row.Picture[0], Height: row.Picture[1]}
				m, err := NewMask(readPicture(t, filepath.Join(folder, row.Mask)), size)
				if errors.Is(err, ErrNothingToChange) {
					for _, v := range row.Crop.Tokens {
						if v != 0 {
							t.Fatalf("%v, want a mask", err)
						}
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				area := WholeArea(size, 0)
				compareTokens(t, "crop", Tokens(m, area), row.Crop.Tokens)
				whole := image.Rect(0, 0, size.Width, size.Height)
				compareTokens(t, "pad", m.tokens(whole, size, whole), row.Pad.Tokens)
				if got := area.Size(); got.Width/16 != row.Crop.Grid[0] || got.Height/16 != row.Crop.Grid[1] {
					t.Errorf("size %v, want a grid of %v", got, row.Crop.Grid)
				}
			})
		}
	}
}

func compareTokens(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d tokens, want %d", name, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1e-6) {
			t.Fatalf("%s: token %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// TestMaskIsZeroOnlyWhereNothingIsCovered compares scaled masks with sums over a common multiple of both sizes. The
// zeros must be exact, because they decide which pixels stay.
func TestMaskIsZeroOnlyWhereNothingIsCovered(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, row := range []struct{ w, h, W, H int }{
		{1, 1, 7, 5}, {3, 2, 7, 5}, {7, 5, 3, 2}, {8, 8, 16, 16}, {13, 11, 13, 11}, {30, 1, 7, 9}, {5, 17, 10, 34},
	} {
		gray := image.NewGray(image.Rect(0, 0, row.w, row.h))
		for i := range gray.Pix {
			if random.IntN(3) == 0 {
				gray.Pix[i] = uint8(random.IntN(256))
			}
		}
		gray.Pix[random.IntN(len(gray.Pix))] = 255
		size := picture.Size{Width: row.W, Height: row.H}
		m, err := NewMask(gray, size)
		if err != nil {
			t.Fatal(err)
		}
		reader := m.over(image.Rect(0, 0, row.W, row.H), size).reader()
		values := make([]float64, row.W)
		box := image.Rectangle{}
		for y := range row.H {
			reader.row(y, 0, values)
			for x, got := range values {
				sum := 0 // over the common multiple: pixel (x, y) covers w × h of its pixels
				for j := y * row.h; j < (y+1)*row.h; j++ {
					for i := x * row.w; i < (x+1)*row.w; i++ {
						sum += int(gray.GrayAt(i/row.W, j/row.H).Y)
					}
				}
				want := float64(sum) / float64(row.w*row.h*255)
				if math.Abs(got-want) > 1e-12 || (got == 0) != (sum == 0) || (got == 1) != (want == 1) {
					t.Fatalf("%+v: (%d, %d): %v, want %v", row, x, y, got, want)
				}
				if sum > 0 {
					box = box.Union(image.Rect(x, y, x+1, y+1))
				}
			}
		}
		if m.Bounds() != box {
			t.Errorf("%+v: bounds %v, want %v", row, m.Bounds(), box)
		}
	}
}

// TestMasksOfFilesAreReadByRows checks that a mask that was read from a file takes no memory for each of its pixels
// beyond its levels, and has the same levels as a picture in memory.
func TestMasksOfFilesAreReadByRows(t *testing.T) {
	layer := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := range layer.Pix {
		layer.Pix[i] = uint8(i * i >> 3)
	}
	size := picture.Size{Width: 64, Height: 64}
	for name, read := range map[string]func(image.Image, picture.Size) (*Mask, error){
		"by levels": NewMask, "by alpha": MaskFromAlphaOf,
	} {
		o := original(t, layer)
		want, err := read(layer, size)
		if err != nil {
			t.Fatal(err)
		}
		var m *Mask
		allocations := testing.AllocsPerRun(3, func() { m, err = read(o, size) })
		if err != nil || m.SHA256() != want.SHA256() {
			t.Errorf("%s: another mask, %v", name, err)
		}
		if allocations > 20 {
			t.Errorf("%s: %v allocations for a mask of 64×64", name, allocations)
		}
	}
}

func TestMasksOfOtherShapes(t *testing.T) {
	for _, row := range []struct {
		mask, of picture.Size
		want     bool
	}{
		{picture.Size{Width: 437, Height: 311}, picture.Size{Width: 437, Height: 311}, false},
		{picture.Size{Width: 218, Height: 155}, picture.Size{Width: 437, Height: 311}, false},
		{picture.Size{Width: 219, Height: 156}, picture.Size{Width: 437, Height: 311}, false},
		{picture.Size{Width: 512, Height: 341}, picture.Size{Width: 6000, Height: 4000}, false},
		{picture.Size{Width: 6000, Height: 4000}, picture.Size{Width: 600, Height: 400}, false},
		{picture.Size{Width: 1, Height: 1}, picture.Size{Width: 437, Height: 311}, false}, // of no shape
		{picture.Size{Width: 200, Height: 200}, picture.Size{Width: 437, Height: 311}, true},
		{picture.Size{Width: 311, Height: 437}, picture.Size{Width: 437, Height: 311}, true},
		{picture.Size{Width: 1024, Height: 768}, picture.Size{Width: 6000, Height: 4000}, true},
		{picture.Size{Width: 1000, Height: 990}, picture.Size{Width: 1000, Height: 1000}, true},
	} {
		white := image.NewGray(image.Rect(0, 0, row.mask.Width, row.mask.Height))
		white.Pix[0] = 255
		if m, err := NewMask(white, row.of); err != nil || m.Stretched() != row.want {
			t.Errorf("%v for %v: stretched is %v, want %v (%v)", row.mask, row.of, m.Stretched(), row.want, err)
		}
	}
}

func TestMasksOfOtherKinds(t *testing.T) {
	size := picture.Size{Width: 64, Height: 64}
	layer := image.NewNRGBA(image.Rect(0, 0, 64, 64)) // white strokes on a transparent layer
	for i := range layer.Pix {
		layer.Pix[i] = 255
		if i%4 == 3 {
			layer.Pix[i] = 0
		}
	}
	layer.SetNRGBA(5, 9, color.NRGBA{255, 255, 255, 255})
	m, err := NewMask(layer, size)
	if err != nil || m.Bounds() != image.Rect(5, 9, 6, 10) {
		t.Errorf("white on transparent: %v, %v", m.Bounds(), err)
	}
	m, err = MaskFromAlphaOf(layer, size)
	if share, _ := m.Share(t.Context(), m.Bounds()); err != nil || share != 1-1.0/(64*64) {
		t.Errorf("transparent is changed: share %v, %v", share, err)
	}
	if _, err = MaskFromAlphaOf(image.NewGray(layer.Rect), size); !errors.Is(err, ErrNothingToChange) {
		t.Errorf("opaque: %v, want nothing to change", err)
	}
	if _, err = NewMask(image.NewGray(layer.Rect), size); !errors.Is(err, ErrNothingToChange) {
		t.Errorf("black: %v, want nothing to change", err)
	}
	if _, err = NewMask(image.NewGray(image.Rect(0, 0, 0, 3)), size); err == nil {
		t.Error("an empty mask was accepted")
	}
	red := image.NewNRGBA(layer.Rect)
	for i := 0; i < len(red.Pix); i += 4 {
		copy(red.Pix[i:], []uint8{255, 0, 0, 255})
	}
	if m, err = NewMask(red, size); err != nil || m.Gray().Pix[0] != (19595*255+32768)>>16 {
		t.Errorf("red: %v, %v", m.Gray().Pix[0], err)
	}
	if a, b := mustMask(t, red, size), mustMask(t, layer, size); a.SHA256() == b.SHA256() || a.Transparency() {
		t.Errorf("two masks have the digest %s", a.SHA256())
	}
	o, err := picture.NewOriginal(layer)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = MaskFromAlpha(o); err != nil || m.Gray().GrayAt(5, 9).Y != 0 || m.Gray().GrayAt(6, 9).Y != 255 {
		t.Errorf("own transparency: %v", err)
	}
}
