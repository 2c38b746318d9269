package upscale

import (
	"context"
)

// Tiling says how a large picture is divided. Lengths are in pixels of the picture. The cores of the tiles cover the
// picture without overlap; the network sees each with a margin around it.
type Tiling struct {
	// Width and Height are the sides of a core.
	Width, Height int
	// Margin is what the network sees around a core. If it is the network's reach, the tiles are the whole picture's
	// result exactly.
	Margin int
	// Feather is half of the width of the seam, in which neighbours are blended; 0 if there is nothing to blend.
	Feather int
}

// A network with a longer reach sees margins of longMargin, of which those pixels that lie within the seam are blended.
// What is farther from a core than half of it has seen too little around it and is not used.
const (
	mostExactMargin = 48
	longMargin      = 32
	longFeather     = 8
)

// NewTiling returns the tiling of a picture into cores of at most side × side pixels, all of about the same size. The
// margins fit the network. A band of tiles has at most bandValues values of the result.
func (n *Network) NewTiling(width, height, side, bandValues int) Tiling {
	fold := n.info.Fold
	up := func(v int) int { return (v + fold - 1) / fold * fold }
	t := Tiling{Margin: up(n.info.Reach)}
	if n.info.Reach > mostExactMargin {
		t.Margin, t.Feather = up(longMargin), longFeather
	}
	even := func(length, most int) int {
		most = max(most/fold*fold, fold)
		count := (length + most - 1) / most
		return up((length + count - 1) / count)
	}
	row := 3 * width * n.info.Scale * n.info.Scale
	t.Width = even(width, side)
	t.Height = even(height, min(side, max(bandValues/row-2*t.Feather, 1)))
	return t
}

// Largest returns the sides of the largest part of a picture that the network sees at a time.
func (t Tiling) Largest(width, height int) (tileWidth, tileHeight int) {
	return min(t.Width+2*t.Margin, width), min(t.Height+2*t.Margin, height)
}

// Source reads the rectangle of width × height pixels at (x, y) of the picture as RGB values from 0 to 1 into dst.
type Source func(dst []float32, x, y, width, height int)

// EnlargeRows enlarges a picture of any size tile by tile. put takes the rows of the result from top to bottom, several
// at a time, row-major [rows·width·Scale, 3], and must not keep them. The memory is that for a band of tiles. progress,
// which may be nil, is called with the number of finished tiles, that of all, and the share of the work that is done.
// Errors are those of Enlarge and of put.
func (n *Network) EnlargeRows(
	ctx context.Context, t Tiling, width, height int, read Source, put func(rows []float32) error,
	progress func(tile, tiles int, share float64),
) error {
	if progress == nil {
		progress = func(int, int, float64) {}
	}
	columns, bands := (width+t.Width-1)/t.Width, (height+t.Height-1)/t.Height
	j := joiner{
		width: width * n.info.Scale, height: height * n.info.Scale, feather: t.Feather * n.info.Scale, put: put,
	}
	scale, tile := n.info.Scale, 0
	for band := range bands {
		y := interval{band * t.Height, min((band+1)*t.Height, height)}
		if err := j.begin(y.times(scale)); err != nil {
			return err
		}
		for column := range columns {
			x := interval{column * t.Width, min((column+1)*t.Width, width)}
			seenX, seenY := x.widened(t.Margin, width), y.widened(t.Margin, height)
			pixels := make([]float32, 3*seenX.length()*seenY.length())
			read(pixels, seenX.from, seenY.from, seenX.length(), seenY.length())
			result, err := n.Enlarge(ctx, pixels, seenY.length(), seenX.length(), func(share float64) {
				progress(tile, columns*bands, (float64(tile)+share)/float64(columns*bands))
			})
			if err != nil {
				return err
			}
			j.add(result, x.times(scale), seenX.times(scale), seenY.times(scale))
			tile++
			progress(tile, columns*bands, float64(tile)/float64(columns*bands))
		}
	}
	return j.finish()
}

// interval is a range [from, to) along an axis.
type interval struct{ from, to int }

func (i interval) length() int { return i.to - i.from }

func (i interval) times(scale int) interval { return interval{i.from * scale, i.to * scale} }

// widened returns i with margin on both sides, within [0, length).
func (i interval) widened(margin, length int) interval {
	return interval{max(i.from-margin, 0), min(i.to+margin, length)}
}

// joiner blends the results of tiles. All lengths are in pixels of the result. The weight of a tile falls linearly
// around each edge of its core that is not the picture's, over feather to both sides, where that of its neighbour
// rises.
type joiner struct {
	width, height, feather int
	put                    func(rows []float32) error
	band                   interval  // of the cores
	first                  int       // the first row of rows
	rows                   []float32 // [n·width, 3], the weighted sums of tiles
}

// begin starts a band of tiles with cores of the rows y. It puts the rows that no later band changes.
func (j *joiner) begin(y interval) error {
	if err := j.flush(max(y.from-j.feather, 0)); err != nil {
		return err
	}
	j.band = y
	n := 3 * j.width * (min(y.to+j.feather, j.height) - j.first)
	for len(j.rows) < n {
		j.rows = append(j.rows, make([]float32, n-len(j.rows))...)
	}
	return nil
}

// flush puts the rows before to.
func (j *joiner) flush(to int) error {
	n := 3 * j.width * (to - j.first)
	if n > 0 {
		if err := j.put(j.rows[:n]); err != nil {
			return err
		}
		kept := copy(j.rows, j.rows[n:])
		clear(j.rows[kept:])
		j.rows, j.first = j.rows[:kept], to
	}
	return nil
}

func (j *joiner) finish() error { return j.flush(j.height) }

// add adds the result of a tile whose core has the columns x. It covers the columns seenX and the rows seenY.
func (j *joiner) add(result []float32, x, seenX, seenY interval) {
	across, columns := j.weights(x, j.width)
	down, rows := j.weights(j.band, j.height)
	for i, wy := range down {
		y := rows.from + i
		from := result[3*((y-seenY.from)*seenX.length()+columns.from-seenX.from):]
		to := j.rows[3*((y-j.first)*j.width+columns.from):]
		for k, wx := range across {
			w := wy * wx
			for c := range 3 {
				to[3*k+c] += w * from[3*k+c]
			}
		}
	}
}

// weights returns the weights of a tile along an axis, and where they begin. Those of all tiles add up to 1: each is
// the difference of two ramps, which rise around the core's edges.
func (j *joiner) weights(core interval, length int) ([]float32, interval) {
	covered := core.widened(j.feather, length)
	ramp := func(edge, at int) float32 {
		switch {
		case edge == 0:
			return 1
		case edge == length:
			return 0
		case j.feather == 0:
			if at < edge {
				return 0
			}
			return 1
		}
		return min(max((float32(at-edge)+0.5)/float32(2*j.feather)+0.5, 0), 1)
	}
	list := make([]float32, covered.length())
	for i := range list {
		at := covered.from + i
		list[i] = ramp(core.from, at) - ramp(core.to, at)
	}
	return list, covered
}
