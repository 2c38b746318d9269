// Icon draws assets/icon.png: a small picture in a frame.
package main

import (
	"image"
	"image/color"
	"image/png"
	"log"
	"math"
	"os"
)

const side = 512

func main() {
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.SetNRGBA(x, y, at(float64(x)+0.5, float64(y)+0.5))
		}
	}
	file, err := os.Create("assets/icon.png")
	if err != nil {
		log.Fatal(err)
	}
	if err := png.Encode(file, img); err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
}

// at is the colour of a point: a rounded frame, in it a sky, a sun and two hills.
func at(x, y float64) color.NRGBA {
	outer, inner := box(x, y, 32, 72), box(x, y, 72, 36)
	frame := color.NRGBA{38, 42, 54, uint8(255 * min(max(0.5-outer, 0), 1))}
	if inner > 0 {
		return frame
	}
	switch {
	case y > 330+40*math.Sin(x/70):
		return color.NRGBA{44, 110, 92, 255}
	case y > 280+50*math.Sin(x/90+2):
		return color.NRGBA{70, 150, 116, 255}
	case math.Hypot(x-350, y-170) < 48:
		return color.NRGBA{255, 214, 102, 255}
	}
	t := y / side
	return color.NRGBA{uint8(90 + 150*t), uint8(150 + 60*t), 235, 255}
}

// box is the distance to the square that lies margin inside the picture, with corners of the given radius.
func box(x, y, margin, radius float64) float64 {
	half := side/2.0 - margin - radius
	dx, dy := max(math.Abs(x-side/2.0)-half, 0), max(math.Abs(y-side/2.0)-half, 0)
	return math.Hypot(dx, dy) - radius
}
