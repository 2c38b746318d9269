package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kleinbild/kleinbild/atomicfile"
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

// maxPreferencesBytes bounds the file of the preferences. It is JSON with the last prompt, a few numbers and paths.
const maxPreferencesBytes = 1 << 20

// keepPreferences protects the preferences, which Fyne writes by emptying the file first: a full disk or a crash then
// leaves an empty file or half of one. If the file at path is sound, keepPreferences copies it; if it is not, it brings
// back the copy that an earlier start made. Anything at path that is not a small file, such as a pipe, for which Fyne
// would wait, is set aside. Call it before Fyne reads the file. It returns no error, because without a file Fyne just
// begins with new preferences.
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

// checkFyneSettings returns an error if there is no small file at the path of Fyne's settings, but something for which
// Fyne would wait, or that it would read for a long time. The settings belong to all programs that use Fyne, so they
// are not set aside.
func checkFyneSettings(path string) error {
	_, err := atomicfile.Read(path, maxPreferencesBytes)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("the settings of Fyne's programs cannot be read (%w): move that away, then try again", err)
}

// privateFile are the permissions of the copy, which holds the last prompt.
const privateFile fs.FileMode = 0o600

// soundPreferences says whether a text is one that Fyne wrote to its end.
func soundPreferences(text []byte) bool {
	var values map[string]any
	return json.Unmarshal(text, &values) == nil && values != nil
}
