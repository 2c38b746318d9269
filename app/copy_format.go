package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// copyFormat is a format in which a copy of a picture can be saved.
type copyFormat struct {
	name       string
	extensions []string // with dots, the usual one first
	about      string
	quality    int // the usual one, 0 if the format loses nothing
}

// copyFormats are the formats that picture.WriteCopy knows.
var copyFormats = []copyFormat{
	{"PNG", []string{".png"}, "Loses nothing. Every program opens it.", 0},
	{"JPEG", []string{".jpg", ".jpeg"}, "Small, for mail and the web. Loses a little.", picture.JPEGQuality},
	{"WebP", []string{".webp"}, "Smaller still, for the web. 100 loses nothing.", 100},
	{"TIFF", []string{".tif", ".tiff"}, "For print and other editors. Loses nothing.", 0},
}

// leastQuality is the lowest quality that is offered: below it nobody likes a picture.
const leastQuality = 40

// formatOf returns the format of a file's name, or false if its ending is none of a format's.
func formatOf(path string) (copyFormat, bool) {
	extension := strings.ToLower(filepath.Ext(path))
	i := slices.IndexFunc(copyFormats, func(f copyFormat) bool { return slices.Contains(f.extensions, extension) })
	if i < 0 {
		return copyFormat{}, false
	}
	return copyFormats[i], true
}

// copyChoices are what the user chose for copies, in Fyne's preferences.
type copyChoices struct{ kept fyne.Preferences }

// format is the format of the last copy.
func (c copyChoices) format() copyFormat {
	if f, ok := formatOf(c.kept.String("copyFormat")); ok {
		return f
	}
	return copyFormats[0]
}

func (c copyChoices) setFormat(f copyFormat) { c.kept.SetString("copyFormat", f.extensions[0]) }

// quality is that of a format, 0 if it has none.
func (c copyChoices) quality(f copyFormat) int {
	if f.quality == 0 {
		return 0
	}
	return min(max(c.kept.IntWithFallback("copyQuality"+f.name, f.quality), leastQuality), 100)
}

func (c copyChoices) setQuality(f copyFormat, quality int) {
	c.kept.SetInt("copyQuality"+f.name, quality)
}

// bare says whether copies are saved without prompt and settings.
func (c copyChoices) bare() bool        { return c.kept.Bool("copyBare") }
func (c copyChoices) setBare(bare bool) { c.kept.SetBool("copyBare", bare) }

// options are those of a copy in a format.
func (c copyChoices) options(f copyFormat) picture.CopyOptions {
	return picture.CopyOptions{Quality: c.quality(f), Bare: c.bare()}
}

// said names how a copy was saved, in brackets, if that is worth a word: " (JPEG of quality 90, without prompt)".
func (c copyChoices) said(f copyFormat) string {
	var parts []string
	if q := c.quality(f); q != 0 && q < 100 {
		parts = append(parts, fmt.Sprintf("quality %d", q))
	}
	if c.bare() {
		parts = append(parts, "without prompt and settings")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// completeName returns a name with its ending; a name without one gets that of the usual format. If the ending is not
// that of a format that can be written, it returns a sentence for the user instead.
func completeName(path string, usual copyFormat) (complete, refusal string) {
	path = strings.TrimRight(path, ". ")
	base := filepath.Base(path)
	extension := filepath.Ext(base)
	if path == "" || base == extension || base == string(filepath.Separator) {
		return "", "The copy needs a name."
	}
	if extension == "" {
		path += usual.extensions[0]
	} else if _, ok := formatOf(path); !ok {
		return "", fmt.Sprintf("%s was not saved: a copy is a PNG, JPEG, WebP or TIFF picture, "+
			"and its name ends in .png, .jpg, .webp or .tif, not in %s.", base, extension)
	}
	if err := atomicfile.CheckName(path); err != nil {
		return "", shorten(base, 60) + " was not saved: " + err.Error() + "."
	}
	return path, ""
}
