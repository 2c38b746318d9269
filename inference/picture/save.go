package picture

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
)

// Save is Write for a picture that took long to make: where path cannot be written, it goes under another name beside
// it, or else into the first of the folders that takes it, which is made if need be. It returns the path written, and
// as failed why that is not the one that was asked for. err says that no place took it; it wraps failed then.
func Save(path string, img image.Image, meta Metadata, exists OnExist, folders ...string) (written string, failed, err error) {
	return save(path, exists, folders, meta.Seed, func(path string, exists OnExist) (string, error) {
		return Write(path, img, meta, exists)
	})
}

// save is Save with the writer that it is given.
func save(path string, exists OnExist, folders []string, seed uint64,
	write func(path string, exists OnExist) (string, error)) (written string, failed, err error) {
	if written, failed = write(path, exists); failed == nil {
		return written, nil, nil
	}
	// A name that every system takes, in the format that holds everything.
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
