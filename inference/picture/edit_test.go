package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// disc returns a mask with a white disc that has a soft edge.
func disc(width, height int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := x-width/2, y-height/2
			img.Pix[y*img.Stride+x] = uint8(min(max(255-(dx*dx+dy*dy-width*height/16)/4, 0), 255))
		}
	}
	return img
}

// grain returns a mask of random levels.
func grain(width, height int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, width, height))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		img.Pix[i] = uint8(random.IntN(256))
	}
	return img
}

func exampleEdit(levels *image.Gray) *Edit {
	feather, context := 12, 0
	return &Edit{
		Mask:     NewMask(ReferenceFile{Path: "/home/anna/maske.png", SHA256: "ef"}, levels),
		Strength: 0.6, Feather: &feather, Context: &context, Area: [4]int{4, 5, 60, 70}, MatchColours: true,
		Extend:        [4]int{1, 0, 0, 2},
		KeepUnchanged: 0.25,
	}
}

// TestEditRoundTrip checks that a PNG file gives back the edit and its mask, and no folder.
func TestEditRoundTrip(t *testing.T) {
	part := disc(90, 70).SubImage(image.Rect(11, 7, 60, 60)).(*image.Gray)
	for _, row := range []struct {
		name   string
		levels *image.Gray
		kept   bool
	}{
		{"disc", disc(333, 211), true},
		{"one pixel", disc(1, 1), true},
		{"a part of a picture", part, true},
		{"grain", grain(300, 200), true},
		{"grain beyond the limit", grain(1024, 600), false},
	} {
		want := example()
		want.Edit = exampleEdit(row.levels)
		file := encoded(t, want)
		got, err := ReadMetadata(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		expected := want.WithoutFolders()
		expected.Edit.Mask.Levels = nil
		if !reflect.DeepEqual(got, expected) || bytes.Contains(file, []byte("anna")) {
			t.Errorf("%s: reads back as %+v %+v", row.name, got.Edit, got.Edit.Mask)
		}
		levels, err := got.Edit.Mask.ReadMask(bytes.NewReader(file))
		if row.kept != (err == nil) || !row.kept && !errors.Is(err, ErrNoMask) {
			t.Errorf("%s: %v, want a mask: %v", row.name, err, row.kept)
		}
		if row.kept && (levels.Rect.Size() != row.levels.Rect.Size() || MaskDigest(levels) != MaskDigest(row.levels)) {
			t.Errorf("%s: the mask reads back differently", row.name)
		}
	}
}

// TestEditInOtherFormats checks that JPEG and WebP files name the edit, and say that they do not have its mask.
func TestEditInOtherFormats(t *testing.T) {
	for _, extension := range []string{".jpg", ".webp"} {
		want := example()
		want.Edit = exampleEdit(disc(40, 30))
		var file bytes.Buffer
		if err := Encode(&file, cornered(), want, extension, 90); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMetadata(bytes.NewReader(file.Bytes()))
		if err != nil || got.Edit == nil || got.Edit.Mask.SHA256 != want.Edit.Mask.SHA256 {
			t.Fatalf("%s: %+v, %v", extension, got.Edit, err)
		}
		if _, err := got.Edit.Mask.ReadMask(bytes.NewReader(file.Bytes())); !errors.Is(err, ErrNoMask) {
			t.Errorf("%s: %v, want ErrNoMask", extension, err)
		}
	}
}

// TestMaskOfAnotherPicture checks that a chunk that another file's metadata names is refused.
func TestMaskOfAnotherPicture(t *testing.T) {
	meta := example()
	meta.Edit = exampleEdit(disc(40, 30))
	file := encoded(t, meta)
	for name, change := range map[string]func(*Mask){
		"other levels": func(m *Mask) { m.SHA256 = MaskDigest(disc(41, 30)) },
		"other size":   func(m *Mask) { m.Width, m.Height = 30, 40 },
	} {
		mask := *meta.Edit.Mask
		change(&mask)
		if _, err := mask.ReadMask(bytes.NewReader(file)); !errors.Is(err, ErrNoMask) {
			t.Errorf("%s: %v, want ErrNoMask", name, err)
		}
	}
}

// TestOldVersionsRefuseEdits checks that only a picture with an edit has the new format, which versions without edits
// refuse.
func TestOldVersionsRefuseEdits(t *testing.T) {
	meta := example()
	if file := encoded(t, meta); !bytes.Contains(file, []byte(`{"format":1,`)) {
		t.Error("a picture without an edit does not have format 1")
	}
	meta.Edit = exampleEdit(disc(4, 3))
	if file := encoded(t, meta); !bytes.Contains(file, []byte(`{"format":4,`)) {
		t.Error("a picture with an area does not have format 4")
	}
	meta.Edit.Area = [4]int{}
	if file := encoded(t, meta); !bytes.Contains(file, []byte(`{"format":2,`)) {
		t.Error("a picture with an edit does not have format 2")
	}
}

// maskData returns the data of a mask's chunk with the given size and runs.
func maskData(width, height uint32, runs ...byte) []byte {
	data := binary.BigEndian.AppendUint32([]byte{maskVersion}, width)
	return append(binary.BigEndian.AppendUint32(data, height), runs...)
}

// TestHostileMasks checks that a bad chunk is an error of one line that costs no memory.
func TestHostileMasks(t *testing.T) {
	for name, row := range map[string]struct {
		data []byte
		want string
	}{
		"empty":                 {nil, "layout"},
		"another version":       {append([]byte{2}, maskData(1, 1, 0, 1)[1:]...), "layout"},
		"no runs":               {maskData(2, 2), "0 pixels"},
		"no width":              {maskData(0, 2, 0, 1), "0×2"},
		"too large":             {maskData(1<<31, 1<<31, 0, 1), "at most"},
		"too few pixels":        {maskData(20000, 5000, 0, 5), "5 pixels"},
		"too many pixels":       {maskData(2, 2, 0, 5), "bad run"},
		"run of none":           {maskData(2, 2, 0, 0), "bad run"},
		"run cut off":           {maskData(2, 2, 0), "bad run"},
		"varint cut off":        {maskData(2, 2, 0, 0x80), "bad run"},
		"varint without an end": {maskData(2, 2, append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...)...), "bad run"},
		"the same level twice":  {maskData(2, 2, 7, 1, 7, 3), "bad run"},
	} {
		file := insertChunk(encodePNG(t, cornered()), maskChunk, row.data, false)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Mask{Width: 2, Height: 2}.ReadMask(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, row.want)
			continue
		}
		oneLine(t, name, err)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 1<<20 {
			t.Errorf("%s costs %d bytes", name, cost)
		}
	}
}

// FuzzMask checks that each chunk gives an error, or a mask that is written as the same bytes.
func FuzzMask(f *testing.F) {
	for _, levels := range []*image.Gray{disc(1, 1), disc(40, 30), grain(9, 7)} {
		f.Add(NewMask(ReferenceFile{}, levels).chunk())
	}
	f.Add(maskData(10000, 10000, 255, 0x80, 0xc2, 0xd7, 0x2f))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer soon(t)()
		levels, err := readMaskChunk(data)
		if err != nil {
			oneLine(t, "fuzz", fmt.Errorf("picture: %w", err)) // as ReadMask returns it
			return
		}
		if levels.Rect.Dx()*levels.Rect.Dy() > 1<<20 {
			return // such a mask is as good, and takes long
		}
		again := NewMask(ReferenceFile{}, levels).chunk()
		got, err := readMaskChunk(again)
		if err != nil || MaskDigest(got) != MaskDigest(levels) || got.Rect != levels.Rect {
			t.Fatalf("reads back differently: %v", err)
		}
	})
}
