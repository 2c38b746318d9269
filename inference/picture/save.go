package picture

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// Save is Write for a picture that took long to generate. If path cannot be written, Save tries another name in the
// same folder, and then each of folders in turn, creating it if it does not exist. It returns the path that was
// written; failed is the error of writing path, or nil if path was written. If no place could be written, err wraps
// failed.
func Save(
	path string, img image.Image, meta Metadata, exists OnExist, folders ...string,
) (written string, failed, err error) {
	return save(path, exists, folders, meta.Seed, func(path string, exists OnExist) (string, error) {
		return Write(path, img, meta, exists)
	})
}

// save is Save with the function that writes a file as a parameter.
func save(
	path string, exists OnExist, folders []string, seed uint64,
	write func(path string, exists OnExist) (string, error),
) (written string, failed, err error) {
	if written, failed = write(path, exists); failed == nil {
		return written, nil, nil
	}
	// This name is valid on every system, and PNG can hold all metadata.
	plainName := fmt.Sprintf("kleinbild-%d.png", seed)
	var places []string
	if exists == Replace {
		places = append(places, path)
	}
	places = append(places, filepath.Join(filepath.Dir(path), plainName))
	for _, folder := range folders {
		if folder != "" && os.MkdirAll(folder, 0o755) == nil {
			places = append(places, filepath.Join(folder, filepath.Base(path)), filepath.Join(folder, plainName))
		}
	}
	for _, place := range places {
		if written, err := write(place, Number); err == nil {
			return written, failed, nil
		}
	}
	return "", failed, fmt.Errorf("the picture could be kept nowhere: %w", failed)
}

// nameRunes bounds how much of a prompt goes into a file's name.
const nameRunes = 48

// PromptName returns the first words of a prompt as a file's name without an extension, in letters that every file
// system takes.
func PromptName(prompt string) string {
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
	if words := strings.Trim(string(name), "-"); words != "" {
		return words
	}
	return "kleinbild"
}
