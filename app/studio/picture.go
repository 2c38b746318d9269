package studio

import (
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"kleinbild/inference/picture"
)

// Picture is a picture that was made.
type Picture struct {
	Image  *image.RGBA
	Meta   picture.Metadata
	Path   string      // "" while it lies nowhere but in memory
	ID     uint64      // in the history, 0 if it is not there
	Before *image.RGBA // reference 1, nil if there is none or it is gone
}

// PrepareDir makes the folder for pictures if it is not there, and finds out whether files can be written to it, before
// anything is computed for it.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return picture.CheckWritable(filepath.Join(dir, "picture.png"), picture.Number)
}

// nameRunes bounds how much of a prompt goes into a file's name.
const nameRunes = 48

// FileName names a picture after its prompt and seed, in letters that every file system takes.
func FileName(prompt string, seed uint64) string {
	var name []rune
	for _, r := range prompt {
		switch {
		case len(name) >= nameRunes:
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			name = append(name, unicode.ToLower(r))
		case len(name) > 0 && name[len(name)-1] != '-':
			name = append(name, '-')
		}
	}
	words := strings.Trim(string(name), "-")
	if words == "" {
		words = "kleinbild"
	}
	return words + "-" + strconv.FormatUint(seed, 10) + ".png"
}
