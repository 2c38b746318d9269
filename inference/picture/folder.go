package picture

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// Extensions are those of the files that references come in, in lower case.
func Extensions() []string {
	return []string{"png", "jpg", "jpeg", "webp", "heic", "heif", "avif", "bmp", "tif", "tiff", "gif"}
}

// InFolder returns the paths of the pictures in a folder, in the order in which people count: a file with an extension
// of pictures, even if it is damaged, or one that begins as a picture does. others are the paths of the other files. It
// enters no folders below dir, and skips hidden files, such as those in which a Mac keeps notes about pictures.
func InFolder(dir string) (pictures, others []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("picture: folder: %w", err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return CompareNames(a.Name(), b.Name()) })
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() { // also that of a link
			continue
		}
		if isPicture(path) {
			pictures = append(pictures, path)
		} else {
			others = append(others, path)
		}
	}
	return pictures, others, nil
}

// isPicture says whether a file has an extension of pictures or begins as a picture does.
func isPicture(path string) bool {
	if slices.Contains(Extensions(), strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))) {
		return true
	}
	file, _, err := atomicfile.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	var start [512]byte // a signature has at most a dozen bytes, a list of brands a few dozen
	n, _ := file.Read(start[:])
	_, err = recognise(start[:n])
	return err == nil
}

// CompareNames orders names as people count: "image 2" comes before "image 10". Case matters only between names that
// are the same without it.
func CompareNames(a, b string) int {
	for x, y := a, b; x != "" || y != ""; {
		var partX, partY string
		partX, x = cutPart(x)
		partY, y = cutPart(y)
		if isDigit(partX) && isDigit(partY) {
			valueX, valueY := strings.TrimLeft(partX, "0"), strings.TrimLeft(partY, "0")
			if c := cmp.Or(cmp.Compare(len(valueX), len(valueY)), strings.Compare(valueX, valueY)); c != 0 {
				return c
			}
		} else if c := strings.Compare(lower(partX), lower(partY)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

// cutPart splits off the first part of a name: a run of ASCII digits, or what stands before the next one.
func cutPart(name string) (part, rest string) {
	digits := isDigit(name)
	end := strings.IndexFunc(name, func(r rune) bool { return ('0' <= r && r <= '9') != digits })
	if end < 0 {
		return name, ""
	}
	return name[:end], name[end:]
}

// isDigit says whether text begins with an ASCII digit.
func isDigit(text string) bool { return text != "" && '0' <= text[0] && text[0] <= '9' }

func lower(text string) string { return strings.Map(unicode.ToLower, text) }
