package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// The parts of a file's name that stand for something of the entry.
const (
	partName   = "{name}"   // of the folder's picture, or the first words of the prompt
	partNumber = "{number}" // of the line, or in the folder
	partSeed   = "{seed}"
)

// wantOutput says what --output takes for a list.
const wantOutput = "a folder, such as -o made/, or a pattern such as -o made/{name}.png with {name}, {number} or {seed}"

// part matches what looks like one of them.
var part = regexp.MustCompile(`\{[^{}]*\}`)

// plan gives each picture its file. The names follow from the entries alone, so that a picture that is there is found
// again, and no two pictures have the same file.
func (l *list) plan() error {
	digits := len(strconv.Itoa(l.entries[len(l.entries)-1].number))
	taken := map[string]*entry{} // by file
	for _, e := range l.entries {
		pattern, chosen, err := e.pattern(l.folder != "")
		if err != nil {
			return err
		}
		e.batch.planned = map[uint64]string{}
		for _, seed := range e.batch.seeds {
			path := e.expand(pattern, seed, digits)
			other := taken[strings.ToLower(place(path))]
			for n := 2; other != nil && chosen; n++ {
				ext := filepath.Ext(path)
				next := fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
				if other = taken[strings.ToLower(place(next))]; other == nil {
					path = next
				}
			}
			if other != nil {
				return usagef("-o %s: would be the picture of %s and of %s, want %s", path, other.where, e.where, wantOutput)
			}
			if l.folder != "" && samePath(filepath.Dir(path), l.folder) {
				return usagef("-o %s: found the folder of the pictures, want another one: what is made would be taken for a "+
					"picture of the list the next time", path)
			}
			taken[strings.ToLower(place(path))] = e
			e.batch.planned[seed] = path
		}
	}
	return nil
}

// pattern returns the pattern of the names of the entry's pictures. chosen says that it was chosen for the folder that
// -o names. images says that the list is a folder of pictures.
func (e *entry) pattern(images bool) (pattern string, chosen bool, err error) {
	if e.Output == "" {
		return "", false, usagef("found no -o, want %s", wantOutput)
	}
	base := filepath.Base(e.Output)
	for _, found := range part.FindAllString(base, -1) {
		if found != partName && found != partNumber && found != partSeed {
			return "", false, usagef("-o %s: found %s, want %s, %s or %s", e.Output, found, partName, partNumber, partSeed)
		}
	}
	info, err := os.Stat(e.Output)
	folder := err == nil && info.IsDir() || os.IsPathSeparator(e.Output[len(e.Output)-1]) ||
		filepath.Ext(base) == "" && !part.MatchString(base)
	switch {
	case folder && images:
		return filepath.Join(e.Output, partName+".png"), true, nil
	case folder:
		return filepath.Join(e.Output, partName+"-"+partSeed+".png"), true, nil
	}
	return e.Output, false, nil
}

// expand returns the file of a picture.
func (e *entry) expand(pattern string, seed uint64, digits int) string {
	dir, base := filepath.Split(pattern)
	if len(e.batch.seeds) > 1 && !strings.Contains(base, partSeed) {
		ext := filepath.Ext(base)
		base = strings.TrimSuffix(base, ext) + "-" + partSeed + ext
	}
	return dir + strings.NewReplacer(
		partName, e.name, partNumber, fmt.Sprintf("%0*d", digits, e.number), partSeed, strconv.FormatUint(seed, 10),
	).Replace(base)
}

// prepareFolders makes the folders of all pictures, and checks that the pictures can be written.
func (l *list) prepareFolders() error {
	made := map[string]bool{}
	for _, e := range l.entries {
		for _, path := range e.batch.planned {
			if dir := filepath.Dir(path); !made[dir] {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("-o: %w", err)
				}
				made[dir] = true
			}
		}
		if err := e.batch.checkOutputs(); err != nil {
			return err
		}
		if err := e.checkPreview(e.batch); err != nil {
			return err
		}
	}
	return nil
}

// metadataAt returns the metadata of the picture at path, or nil if there is no file. The error says why the file is
// no picture of Kleinbild.
func metadataAt(path string) (*picture.Metadata, error) {
	meta, err := picture.ReadMetadataFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &meta, nil
}
