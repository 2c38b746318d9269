package client

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// photoFile is a source of an edit in memory.
type photoFile []byte

func (f photoFile) Open(ctx context.Context) (inference.Reference, error) {
	ref, err := picture.Decode(ctx, f)
	return inference.Reference{Path: "/home/ada/secret folder/photo", Reference: ref}, err
}

func (f photoFile) OpenOriginal(ctx context.Context) (inference.Reference, *picture.Original, error) {
	ref, err := f.Open(ctx)
	if err != nil {
		return ref, nil, err
	}
	original, err := picture.DecodeOriginal(ctx, f)
	return ref, original, err
}

func pngFile(t testing.TB, img image.Image) photoFile {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// read is resolve for an ask whose pictures have to be read.
func read(t testing.TB, ask inference.Ask, e inference.Generator) inference.Request {
	t.Helper()
	checked, err := ask.Check()
	if err == nil {
		checked, err = checked.Read(t.Context(), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := checked.Resolve(e.Info())
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// TestSameEdit edits photos of several kinds on this computer and by a server. The files must be the same, byte for
// byte, with all that an edit takes from image 1.
func TestSameEdit(t *testing.T) {
	// The demo model works on small areas, and so takes less time than a tiny one of the usual native size.
	engine, err := inference.Open(t.Context(), inference.Options{
		Model: "demo", Device: inference.DeviceCPU, Precision: inference.Float32, MaxSequenceLength: 32,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	remote := connect(t, serve(t, engine, nil).URL)
	deep, clear, gray := image.NewNRGBA64(image.Rect(0, 0, 90, 70)), image.NewNRGBA(image.Rect(0, 0, 97, 81)),
		image.NewGray16(image.Rect(0, 0, 80, 64))
	for y := range 81 {
		for x := range 97 {
			level := uint16(x*331 ^ y*173<<4)
			deep.Set(x, y, color.NRGBA64{level, level * 3, uint16(x << 9), 0xffff})
			clear.Set(x, y, color.NRGBA{uint8(x * 2), uint8(y * 3), uint8(level), uint8(255 - 200*(x/60))})
			gray.Set(x, y, color.Gray16{level})
		}
	}
	var jpegFile bytes.Buffer
	if err := jpeg.Encode(&jpegFile, clear, nil); err != nil {
		t.Fatal(err)
	}
	mask := image.NewGray(image.Rect(0, 0, 40, 30)) // of another size than the photos
	for i := range mask.Pix {
		if x := i % 40; x > 10 && x < 25 {
			mask.Pix[i] = uint8(min(i, 255))
		}
	}
	masked := func(e inference.Edit) *inference.Edit { e.Mask = inference.MaskImage{Image: mask}; return &e }
	for _, row := range []struct {
		name  string
		photo photoFile
		edit  *inference.Edit
	}{
		{"a mask, JPEG", jpegFile.Bytes(), masked(inference.Edit{})},
		{"a mask, 16 bits", pngFile(t, deep), masked(inference.Edit{Strength: new(0.6), Feather: new(3), Context: new(7)})},
		{"a mask, grey", pngFile(t, gray), masked(inference.Edit{Hidden: true, MatchColours: new(false)})},
		{"the whole photo", pngFile(t, clear), masked(inference.Edit{Whole: true, Feather: new(0)})},
		{"an area", pngFile(t, deep), masked(inference.Edit{Area: &image.Rectangle{Max: deep.Rect.Max}})},
		{"its own transparency", pngFile(t, clear), &inference.Edit{Mask: inference.AlphaMask{}}},
		{"larger", pngFile(t, deep), &inference.Edit{
			Extend: inference.Extension{Margins: inference.Margins{Left: 20, Bottom: 9}},
		}},
		{"wider", pngFile(t, clear), &inference.Edit{Extend: inference.Extension{Ratio: 2}}},
		{"what did not change", jpegFile.Bytes(), &inference.Edit{KeepUnchanged: new(0.5)}},
		{"strength", jpegFile.Bytes(), &inference.Edit{Strength: new(0.5)}},
		{"hidden", jpegFile.Bytes(), &inference.Edit{Strength: new(0.5), Hidden: true}},
		{"colours", jpegFile.Bytes(), &inference.Edit{MatchColours: new(true)}},
	} {
		ask := inference.Ask{
			Prompt: "a red house", Edit: row.edit, Seed: new(uint64(5)), Steps: new(2), Preview: true,
			References: []inference.Source{row.photo, photo(t, 64, 64, 2)},
		}
		want, err := engine.Generate(t.Context(), read(t, ask, engine), nil)
		if err != nil {
			t.Fatal(row.name, err)
		}
		got, err := remote.Generate(t.Context(), read(t, ask, remote), nil)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if !bytes.Equal(fileOf(t, got), fileOf(t, want)) {
			t.Errorf("%s: another file: %+v, want %+v", row.name, got.Metadata.Edit, want.Metadata.Edit)
		}
		if *got.Edited != *want.Edited {
			t.Errorf("%s: %+v, want %+v", row.name, *got.Edited, *want.Edited)
		}
		if got, want := remote.Work(read(t, ask, remote)), engine.Work(read(t, ask, engine)); got != want {
			t.Errorf("%s: work %v, want %v", row.name, got, want)
		}
	}
}

// TestEditWithoutTheFeature asks an older server for an edit.
func TestEditWithoutTheFeature(t *testing.T) {
	remote := connect(t, handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != api.PathEngine {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(description())
	}))
	ask := small("a")
	ask.Size, ask.Edit = nil, &inference.Edit{Strength: new(0.5)}
	ask.References = []inference.Source{photo(t, 64, 64, 1)}
	if _, err := remote.Generate(t.Context(), read(t, ask, remote), nil); err == nil ||
		!strings.Contains(err.Error(), "cannot edit a part of a picture") {
		t.Errorf("%v", err)
	}
}
