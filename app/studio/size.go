package studio

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// The size of the next picture follows image 1 (picture.Match) from the moment at which a first picture comes to the
// desk, until the user picks another size. When the last picture leaves the desk, the size before is back.

// PickAspect chooses an aspect ratio. Match keeps Size: it applies again when the last picture leaves the desk, if it
// applied before Match.
func (d *Desk) PickAspect(a picture.AspectRatio) {
	if a != picture.Match {
		d.Size = picture.Size{}
	}
	d.Aspect = a
}

// PickSize chooses a size in pixels.
func (d *Desk) PickSize(size picture.Size) { d.Aspect, d.Size = "", size }

// leaveMatch chooses the size before Match if the desk has no picture to match any more. That is no step of its own but
// belongs to the step that took the picture away: one undo brings back both.
func (s *Studio) leaveMatch() {
	d := s.Desk.Desk()
	if d.Aspect != picture.Match || len(d.Slots) > 0 {
		return
	}
	s.Desk.Amend(func() {
		s.Desk.Choose(func(d *Desk) {
			if d.Aspect = ""; d.Size.Check() != nil {
				d.PickAspect(s.Settings.Aspect())
			}
		})
	})
}

// twoNumbers finds two numbers with anything between them. Each may have a fraction.
var twoNumbers = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)([^0-9]+)([0-9]+(?:\.[0-9]+)?)`)

// ratioSign matches what stands between the numbers of a ratio.
var ratioSign = regexp.MustCompile(`^\s*[:/]\s*$`)

// ReadSize returns the valid size nearest to what a person typed: a width and a height in pixels, such as "1200 × 800",
// "1200x800" or "1200, 800", or a ratio such as "3:2", which asks for the area of the square with the side native (0
// for that of the published models). ok is false if text does not hold two numbers, or if those of a ratio are not
// positive.
func ReadSize(text string, native int) (size picture.Size, ok bool) {
	found := twoNumbers.FindStringSubmatch(text)
	if found == nil {
		return size, false
	}
	width, _ := strconv.ParseFloat(found[1], 64) // a number with too many digits is infinite
	height, _ := strconv.ParseFloat(found[3], 64)
	if ratioSign.MatchString(found[2]) {
		if native <= 0 {
			native = picture.NativeSide
		}
		ratio := width / height
		if math.IsNaN(ratio) || math.IsInf(ratio, 0) || ratio == 0 {
			return size, false
		}
		side := math.Sqrt(ratio)
		width, height = float64(native)*side, float64(native)/side
	}
	const most = 1 << 20 // far beyond every valid side
	whole := func(side float64) int { return int(math.Round(min(side, most))) }
	return picture.Size{Width: whole(width), Height: whole(height)}.Nearest(), true
}

// ratios are the ratios of width to height that have a name among photographers and film makers, at most 1 here.
var ratios = [][2]int{{1, 1}, {4, 5}, {3, 4}, {2, 3}, {5, 8}, {9, 16}, {1, 2}, {9, 21}}

// ratioTolerance is how far a size may be from a ratio that it is called after: 1344 × 768 is 1.6 % from 16:9.
const ratioTolerance = 0.02

// Ratio names the ratio of a size's sides: the nearest common one, such as 3:2, or else a number, such as 2.85:1. It
// returns "" for a size without area.
func Ratio(size picture.Size) string {
	long, short := max(size.Width, size.Height), min(size.Width, size.Height)
	if short <= 0 {
		return ""
	}
	turned := func(a, b string) string {
		if size.Width > size.Height {
			a, b = b, a
		}
		return a + ":" + b
	}
	for _, r := range ratios {
		if away := float64(short*r[1]) / float64(long*r[0]); math.Abs(away-1) <= ratioTolerance {
			return turned(strconv.Itoa(r[0]), strconv.Itoa(r[1]))
		}
	}
	number := fmt.Sprintf("%.1f", float64(long)/float64(short))
	if long < 3*short {
		number = fmt.Sprintf("%.2f", float64(long)/float64(short))
	}
	return turned("1", number)
}
