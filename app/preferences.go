package app

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"

	"kleinbild/atomicfile"
)

// preferencesFile is where Fyne keeps the preferences of the app called id, in the user's configuration folder.
func preferencesFile(id string) (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "fyne", id, "preferences.json"), err
}

// keepPreferences makes up for Fyne's way of writing its preferences, which empties the file before it writes: where a
// full disk or a crash left an empty or a half file, it brings back the copy that an earlier start made; a sound file
// is copied. It is to be called before Fyne reads them. Without a copy Fyne begins anew, so no error is worth stopping for.
func keepPreferences(path string) {
	kept := path + ".kept"
	text, err := os.ReadFile(path)
	switch {
	case err != nil: // there is none yet, or nobody can read it
	case soundPreferences(text):
		_ = atomicfile.Write(kept, text, privateFile)
	default:
		if old, err := os.ReadFile(kept); err == nil && soundPreferences(old) {
			_ = atomicfile.Write(path, old, privateFile)
		}
	}
}

// privateFile are the permissions of the copy, which holds the last prompt.
const privateFile fs.FileMode = 0o600

// soundPreferences tells what Fyne wrote to its end.
func soundPreferences(text []byte) bool {
	var values map[string]any
	return json.Unmarshal(text, &values) == nil && values != nil
}
