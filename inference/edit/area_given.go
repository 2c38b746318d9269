package edit

import (
	"image"
	"math"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// GivenArea returns the area for the rectangle given of a picture of the given size, which a person has chosen around a
// mask with the bounding box box, for a model whose native picture is native × native pixels (0 for 1024). given lies
// in the picture and contains box. If it is the area that NewArea chooses, that is the result.
//
// The area is given, grown only by what the model needs: to a least side and a greatest ratio, and to multiples of 16
// if it is worked on at scale 1, so that nothing is scaled. At any other scale it stays as it is, and the scales of its
// axes differ by less than a token. The area of an area's Source has that Source.
func GivenArea(size picture.Size, given, box image.Rectangle, native int) Area {
	if chosen := NewArea(size, box, Chosen, native); chosen.Source == given {
		return chosen
	}
	if native <= 0 {
		native = picture.NativeSide
	}
	pixels := float64(native) * float64(native)
	given = leastGiven(size, given, pixels)
	width, height := float64(given.Dx()), float64(given.Dy())
	scale := min(math.Sqrt(pixels/(width*height)), mostEnlarged, mostSide/max(width, height))
	if scale >= 1 && scale < leastEnlarged {
		if a := unscaled(size, given); float64(a.Scaled.Width)*float64(a.Scaled.Height) <= pixels {
			return a
		}
	}
	return stretchedLeast(given, scale, pixels)
}

// leastGiven grows an area to the least sides for which there is a work picture of the given number of pixels.
func leastGiven(size picture.Size, given image.Rectangle, pixels float64) image.Rectangle {
	elongated := min(mostSide/leastSide, pixels/(leastSide*leastSide))
	side := func(n, other, most int) int {
		least := max(leastSide/mostEnlarged, int(math.Ceil(float64(other)/elongated)))
		return min(max(n, least), most)
	}
	width, height := side(given.Dx(), given.Dy(), size.Width), side(given.Dy(), given.Dx(), size.Height)
	x := spanAround(width, size.Width, given.Min.X, given.Max.X, given.Min.X, given.Max.X)
	y := spanAround(height, size.Height, given.Min.Y, given.Max.Y, given.Min.Y, given.Max.Y)
	return image.Rect(x.from, y.from, x.end, y.end)
}

// unscaled grows an area to multiples of 16 and works on it at scale 1, except along an axis on which the picture
// leaves no room for that.
func unscaled(size picture.Size, given image.Rectangle) Area {
	x, across := fitAxis(size.Width, given.Min.X, given.Max.X, given.Min.X, given.Max.X, float64(given.Dx()), 1)
	y, down := fitAxis(size.Height, given.Min.Y, given.Max.Y, given.Min.Y, given.Max.Y, float64(given.Dy()), 1)
	return newArea(image.Rect(x.from, y.from, x.end, y.end), across, down)
}

// stretchedLeast works on an area at about the given scale, with at most the given number of pixels, or a side of 64.
// A somewhat smaller work picture is taken if that is less stretched.
func stretchedLeast(source image.Rectangle, scale, pixels float64) (best Area) {
	side := func(n int, scale float64) int {
		return min(max(int(math.Round(float64(n)*scale/tokenSide))*tokenSide, leastSide), mostSide)
	}
	least := math.Inf(1)
	for try := 0; try < stretchTries || math.IsInf(least, 1); try++ {
		smaller := math.Pow(stretchStep, float64(try))
		across, down := side(source.Dx(), scale*smaller), side(source.Dy(), scale*smaller)
		if float64(across*down) > pixels && min(across, down) > leastSide {
			continue
		}
		if cost := stretchCost(source, across, down, smaller); cost < least {
			least, best = cost, newArea(source, across, down)
		}
	}
	return best
}
