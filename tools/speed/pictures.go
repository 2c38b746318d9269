package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// pictures compares the writing of a PNG with package image/png, and times the reading of JPEGs as references.
func pictures(ctx context.Context, w io.Writer) error {
	img := grain(1024, 1024)
	var ours, gos bytes.Buffer
	times, err := inTurn(ctx, time.Second,
		func() error { ours.Reset(); return picture.EncodePNG(&ours, img, picture.Metadata{}) },
		func() error { gos.Reset(); return png.Encode(&gos, img) })
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| a PNG of 1024×1024 with grain, by | ms | ratio | MB |\n|---|---|---|---|\n")
	fmt.Fprintf(w, "| Go's package png | %.0f | 1 | %.2f |\n", ms(times[1]), float64(gos.Len())/1e6)
	fmt.Fprintf(w, "| Kleinbild | %.0f | %.2f | %.2f |\n",
		ms(times[0]), times[0].Seconds()/times[1].Seconds(), float64(ours.Len())/1e6)

	fmt.Fprintf(w, "\n| a JPEG read as a reference (4:2:0, baseline) | s |\n|---|---|\n")
	for _, side := range []struct{ width, height int }{{4000, 3000}, {11552, 8672}} {
		var file bytes.Buffer
		if err := jpeg.Encode(&file, grain(side.width, side.height), &jpeg.Options{Quality: 90}); err != nil {
			return err
		}
		times, err := inTurn(ctx, 0, func() error {
			_, err := picture.Decode(ctx, file.Bytes())
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| %d×%d, %.0f MB | %.2f |\n", side.width, side.height, float64(file.Len())/1e6, times[0].Seconds())
	}
	return nil
}

// inTurn calls all functions alternately: at least twice, and until the time each has passed for every function. It
// returns the shortest time of each function.
func inTurn(ctx context.Context, each time.Duration, do ...func() error) ([]time.Duration, error) {
	least := make([]time.Duration, len(do))
	begin := time.Now()
	for round := 0; round < 2 || time.Since(begin) < each*time.Duration(len(do)); round++ {
		for i, f := range do {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := time.Now()
			if err := f(); err != nil {
				return nil, err
			}
			if t := time.Since(start); round == 0 || t < least[i] {
				least[i] = t
			}
		}
	}
	return least, nil
}

func ms(t time.Duration) float64 { return t.Seconds() * 1e3 }

// grain returns a picture with slow changes of colour and a little noise, like a photograph.
func grain(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	random := rand.New(rand.NewPCG(1, 2))
	for y := range height {
		for x := range width {
			noise := random.IntN(9)
			pixel := color.RGBA{uint8(x*200/width + noise), uint8(y*200/height + noise),
				uint8((x+y)*100/(width+height) + noise), 255}
			img.SetRGBA(x, y, pixel)
		}
	}
	return img
}
