package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// settings are the user's lasting choices.
type settings struct {
	// Model is used where neither --model nor $KLEINBILD_MODEL names one.
	Model string `json:"model"`
}

// settingsFile is kleinbild/settings.json in the user's configuration folder.
func settingsFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "settings.json") }

// readSettings returns the zero value where there is no file.
func readSettings() (settings, error) {
	var s settings
	text, err := os.ReadFile(settingsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("settings: %s: %w, want {\"model\": PATH}", settingsFile(), err)
	}
	return s, nil
}
