package picture

import (
	"encoding/binary"
	"encoding/json"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readTensor reads a float32 tensor from a safetensors file of the golden folder. It checks nothing.
func readTensor(t *testing.T, path, name string) (shape []int, values []float32) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := file[8 : 8+binary.LittleEndian.Uint64(file)]
	tensors := map[string]struct {
		Shape   []int
		Offsets []int `json:"data_offsets"`
	}{}
	if err := json.Unmarshal(header, &tensors); err != nil {
		t.Fatal(err)
	}
	entry, ok := tensors[name]
	if !ok {
		t.Fatalf("%s: no tensor %s", path, name)
	}
	data := file[8+len(header)+entry.Offsets[0] : 8+len(header)+entry.Offsets[1]]
	for i := 0; i < len(data); i += 4 {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(data[i:])))
	}
	return entry.Shape, values
}

// channelsLast transposes [3, pixels] to [pixels, 3].
func channelsLast(planes []float32) []float32 {
	pixels := len(planes) / 3
	rows := make([]float32, len(planes))
	for c := range 3 {
		for i := range pixels {
			rows[3*i+c] = planes[c*pixels+i]
		}
	}
	return rows
}

// TestCasesOfReference compares with the reference implementation: the input of its VAE encoder for each reference, and
// the picture that it made of the output of its VAE decoder.
func TestCasesOfReference(t *testing.T) {
	var cases, references int
	for _, folder := range goldenFolders(t, "cases") {
		stages, err := filepath.Glob(filepath.Join(folder, "*", "stages.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range stages {
			cases++
			folder := filepath.Dir(stage)
			shape, planes := readTensor(t, stage, "decoded")
			got, err := FromFloats(channelsLast(planes), shape[len(shape)-1], shape[len(shape)-2])
			if err != nil {
				t.Fatal(err)
			}
			if mean, worst, at := difference(got, readPNG(t, filepath.Join(folder, "out.png"))); worst != 0 {
				t.Errorf("%s: decoded picture differs by %.4f, %d at %v, want the same pixels", folder, mean, worst, at)
			}
			files, err := filepath.Glob(filepath.Join(folder, "ref*.png"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				references++
				ref, err := Open(t.Context(), file)
				if err != nil {
					t.Fatal(err)
				}
				name := strings.TrimSuffix(filepath.Base(file), ".png")
				_, planes := readTensor(t, stage, name+".pixels")
				want, got := channelsLast(planes), ref.Rows()
				if len(got) != len(want) {
					t.Fatalf("%s: %d values, want %d", file, len(got), len(want))
				}
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("%s: row %d channel %d is %v, want %v", file, i/3, i%3, got[i], want[i])
					}
				}
			}
		}
	}
	if cases == 0 || references == 0 {
		t.Skipf("%d cases, %d references: they are in the golden folder only", cases, references)
	}
}

func TestRowsAreRoundedAsTheReferenceRounds(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 2, 2))
	copy(img.Pix, []byte{0, 1, 2, 255, 127, 128, 254, 255, 255, 51, 204, 255, 7, 8, 9, 255})
	ref := Reference{Image: img, Size: Size{2, 2}}
	// The float32 bits of NumPy's float32(v)/255, followed by torch's 2·x − 1.
	want := []uint32{
		0xbf800000, 0xbf7dfdfe, 0xbf7bfbfc, 0xbb808080, 0x3b808100, 0x3f7dfdfe,
		0x3f800000, 0xbf19999a, 0x3f19999a, 0xbf71f1f2, 0xbf6feff0, 0xbf6dedee,
	}
	got := ref.Rows()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if bits := math.Float32bits(got[i]); bits != want[i] {
			t.Errorf("value %d: %v (%#08x), want %v (%#08x)", i, got[i], bits, math.Float32frombits(want[i]), want[i])
		}
	}
}

func TestFromFloatsRounds(t *testing.T) {
	for _, row := range []struct {
		name string
		x    float32
		want uint8
	}{
		{"black", -1, 0},
		{"white", 1, 255},
		{"below black", -1.5, 0},
		{"above white", 3, 255},
		{"minus infinity", float32(math.Inf(-1)), 0},
		{"infinity", float32(math.Inf(1)), 255},
		{"127.5 goes to the even level", 0, 128},
		{"just below 127.5", -1.0 / (1 << 20), 127},
		{"level 1", -1 + 2/255.0, 1},
		{"level 254", 1 - 2/255.0, 254},
	} {
		img, err := FromFloats([]float32{row.x, -1, 1}, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := img.Pix; got[0] != row.want || got[1] != 0 || got[2] != 255 || got[3] != 255 {
			t.Errorf("%s: pixel %v, want red %d", row.name, got, row.want)
		}
	}
}

func TestLevelsSurviveRoundTrip(t *testing.T) {
	for v := range 256 {
		img, err := FromFloats([]float32{levels[v], levels[v], levels[v]}, 1, 1)
		if err != nil || int(img.Pix[0]) != v {
			t.Errorf("level %d comes back as %v, %v", v, img.Pix[0], err)
		}
	}
}

func TestFromFloatsRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, row := range []struct {
		name          string
		rows          []float32
		width, height int
	}{
		{"NaN", []float32{0, 0, 0, 0, nan, 0}, 2, 1},
		{"too few", []float32{0, 0, 0}, 2, 1},
		{"too many", make([]float32, 9), 2, 1},
		{"no pixels", nil, 0, 0},
		{"negative size", make([]float32, 3), -1, -1},
	} {
		if img, err := FromFloats(row.rows, row.width, row.height); err == nil {
			t.Errorf("%s: gives %v, want an error", row.name, img.Rect)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error of several lines: %q", row.name, err)
		}
	}
}
