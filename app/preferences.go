package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kleinbild/atomicfile"
)

// fyneSettingsFile is where Fyne keeps the settings of all programs that use it.
func fyneSettingsFile() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "fyne", "settings.json"), err
}

// preferencesFile is where Fyne keeps the preferences of the app called id, in the user's configuration folder.
func preferencesFile(id string) (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "fyne", id, "preferences.json"), err
}

// maxPreferencesBytes bounds the preferences, which hold the last prompt, as JSON, beside a few numbers and paths.
const maxPreferencesBytes = 1 << 20

// keepPreferences makes up for Fyne's way of writing its preferences, which empties the file before it writes: where a
// full disk or a crash left an empty or a half file, it brings back the copy that an earlier start made; a sound file
// is copied. What is no small file, such as a pipe, which Fyne would wait at, is set aside. It is to be called before
// Fyne reads them. Without a copy Fyne begins anew, so no error is worth stopping for.
func keepPreferences(path string) {
	kept := path + ".kept"
	text, err := atomicfile.Read(path, maxPreferencesBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // there is none yet, or nobody can read it
		return
	case err != nil:
		_, _ = atomicfile.SetAside(path)
	}
	switch {
	case soundPreferences(text):
		_ = atomicfile.Write(kept, text, privateFile)
	default:
		if old, err := atomicfile.Read(kept, maxPreferencesBytes); err == nil && soundPreferences(old) {
			if len(text) > 0 {
				_, _ = atomicfile.SetAside(path)
			}
			if atomicfile.Write(path, old, privateFile) != nil {
				_ = os.Rename(kept, path) // the disk is full; the next start copies it again
			}
		}
	}
}

// checkFyneSettings refuses what Fyne would wait at, or read for a long time, in the place of its settings for all of
// its programs. They are not this program's, so that nothing is set aside.
func checkFyneSettings(path string) error {
	_, err := atomicfile.Read(path, maxPreferencesBytes)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("the settings of Fyne's programs cannot be read (%w): move that away, then try again", err)
}

// privateFile are the permissions of the copy, which holds the last prompt.
const privateFile fs.FileMode = 0o600

// soundPreferences tells what Fyne wrote to its end.
func soundPreferences(text []byte) bool {
	var values map[string]any
	return json.Unmarshal(text, &values) == nil && values != nil
}
