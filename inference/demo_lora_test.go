package inference

import (
	"bytes"
	"image"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// duskStops are the colours that the style of the demo model's adapter gives to pixels by their luma, of which a pixel
// takes duskShare (tools/demo/lora.py).
var duskStops = []struct {
	luma   float64
	colour [3]float64
}{
	{0, [3]float64{20, 12, 58}}, {0.35, [3]float64{96, 38, 112}}, {0.6, [3]float64{208, 84, 100}},
	{0.8, [3]float64{252, 150, 86}}, {1, [3]float64{255, 224, 166}},
}

const duskShare = 0.7

// inDusk returns a picture in the colours of dusk.
func inDusk(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for i := 0; i < len(img.Pix); i += 4 {
		p := img.Pix[i : i+4]
		luma := (0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])) / 255
		at := 1
		for at < len(duskStops)-1 && luma > duskStops[at].luma {
			at++
		}
		a, b := duskStops[at-1], duskStops[at]
		share := min((luma-a.luma)/(b.luma-a.luma), 1)
		for c := range 3 {
			tint := a.colour[c] + (b.colour[c]-a.colour[c])*share
			out.Pix[i+c] = uint8(math.Round(float64(p[c]) + (tint-float64(p[c]))*duskShare))
		}
		out.Pix[i+3] = 255
	}
	return out
}

// demoLoRAVariable is the number of pictures that TestDemoLoRA makes.
const demoLoRAVariable = "KLEINBILD_DEMO_LORAS"

// TestDemoLoRA makes pictures with the demo model's own adapter. At strength 1 a picture has the colours of dusk: it is
// nearer to the plain picture in these colours than half of what lies between the two. At strength 0 it is the plain
// picture, bit for bit.
func TestDemoLoRA(t *testing.T) {
	count := 6
	if n, err := strconv.Atoi(os.Getenv(demoLoRAVariable)); err == nil {
		count = n
	}
	e := openOptions(t, Options{Model: checkpoint.Demo})
	names, err := ListLoRAs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dusk, ok := names.Find("demo-dusk")
	if !ok || !IsEmbeddedLoRA(NamedLoRA{Path: dusk.Path}) {
		t.Fatalf("demo-dusk is %+v in %v", dusk, names)
	}
	if size := len(must(checkpoint.EmbeddedLoRA(dusk.Path))); size > 1<<20 {
		t.Errorf("%d bytes, want at most 1 MiB", size)
	}
	info, err := e.LoRA(t.Context(), dusk)
	if err != nil || info.Matched != info.Total || info.Total != 20 {
		t.Fatalf("%v, %v, want all of 20 layers", info, err)
	}
	things := []string{"house", "tree", "car", "boat", "cat", "ball", "mushroom", "flower", "star", "balloon"}
	colours := []string{"red", "blue", "green", "yellow", "white", "purple", "orange"}
	places := []string{"in a meadow", "by the sea", "in the snow", "in the desert", "in the mountains", "in the city"}
	inStyle := 0
	for i := range count {
		seed := uint64(i)
		ask := Ask{
			Prompt: "a " + colours[i%7] + " " + things[i%10] + " " + places[i%6], Seed: &seed,
			LoRAs: []LoRA{{Name: dusk.Name, Path: dusk.Path}},
		}
		zero := demoPicture(t, e, ask)
		ask.LoRAs[0].Strength = 1
		made := demoPicture(t, e, ask)
		ask.LoRAs = nil
		plain := demoPicture(t, e, ask)
		if !bytes.Equal(zero.Pix, plain.Pix) {
			t.Errorf("%s: at strength 0 another picture than without it", ask.Prompt)
		}
		want := inDusk(plain)
		off, moved := levelsApart(made, want, want.Rect), levelsApart(plain, want, want.Rect)
		t.Logf("%s: %.1f levels off, of %.1f", ask.Prompt, off, moved)
		if off < moved/2 {
			inStyle++
		}
	}
	if inStyle*100 < count*95 {
		t.Errorf("%d of %d pictures have the style, want 95 %%", inStyle, count)
	}
}

func must(contents []byte, ok bool) []byte {
	if !ok {
		panic("there is no embedded adapter")
	}
	return contents
}
